import { useEffect, useState } from "preact/hooks";
import type { CloudInit, Guest, GuestUpdate } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, loadSchemas, messageOf } from "./api.ts";
import { Check } from "./check.tsx";
import { CloudInitFields, readCloudInit } from "./cloud_init_fields.tsx";
import { FormEnd } from "./form_end.tsx";
import { checkForm } from "./forms.ts";
import { putGuest } from "./live.ts";
import { toast } from "./toasts.ts";
import { useForm } from "./use_form.ts";

interface CloudInitFormProps {
  guest: Guest;
  onDone: () => void;
}

/** Gives a guest a cloud-init disk, or changes what is on it; its texts are asked for first. */
export function CloudInitForm({ guest, onDone }: CloudInitFormProps) {
  const [now, setNow] = useState<CloudInit | null>(null);
  useEffect(() => {
    if (guest.cloudInit === null) return;
    call("getCloudInit", { params: { id: guest.id } }).then(setNow, (error) => {
      toast("problem", messageOf(error));
      onDone();
    });
  }, []);
  if (guest.cloudInit !== null && now === null) return <p class="field-hint">Loading</p>;
  return <LoadedForm guest={guest} now={now ?? undefined} onDone={onDone} />;
}

function LoadedForm({ guest, now, onDone }: CloudInitFormProps & { now?: CloudInit }) {
  const { errors, isBusy, submit } = useForm<GuestUpdate>({
    check: async (data) => {
      const { GuestUpdate } = await loadSchemas();
      const newInstance = data.has("newInstance");
      const cloudInit = { ...readCloudInit(data), ...(newInstance && { newInstance }) };
      return checkForm(GuestUpdate, { cloudInit });
    },
    send: async (body) => {
      const changed = await call("updateGuest", { params: { id: guest.id }, body });
      putGuest(changed);
      const later = changed.pending.some((it) => it.startsWith("cloudInit"));
      const done = now === undefined ? "Added a cloud-init disk" : "Changed the cloud-init disk";
      toast("done", later ? `${done}; ${guest.name} has it from its next start on` : done);
      onDone();
    },
  });
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <CloudInitFields errors={errors} now={now} />
      {now !== undefined && (
        <Check
          name="newInstance"
          isOn={false}
          hint="Most of it is done once for each machine. Then it is done again, with new SSH host keys"
        >
          Take the guest for a new machine
        </Check>
      )}
      <FormEnd verb={now === undefined ? "Add" : "Save"} isBusy={isBusy} onCancel={onDone} />
    </form>
  );
}
