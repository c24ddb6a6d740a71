import type { Guest, Snapshot, SnapshotUpdate } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, loadSchemas } from "./api.ts";
import { Check } from "./check.tsx";
import { Field } from "./field.tsx";
import { FormEnd } from "./form_end.tsx";
import { checkForm } from "./forms.ts";
import { toast } from "./toasts.ts";
import { useForm } from "./use_form.ts";

interface SnapshotEditFormProps {
  guest: Guest;
  snapshot: Snapshot;
  onDone: () => void;
}

/** Changes what a snapshot is called, and whether guests are made of it. */
export function SnapshotEditForm({ guest, snapshot, onDone }: SnapshotEditFormProps) {
  const { errors, isBusy, submit } = useForm<SnapshotUpdate>({
    check: async (data) => {
      const { SnapshotUpdate } = await loadSchemas();
      return checkForm(SnapshotUpdate, {
        name: String(data.get("name")),
        description: String(data.get("description")),
        template: data.has("template"),
      });
    },
    send: async (body) => {
      const params = { id: guest.id, snapshot: snapshot.id };
      const { name } = await call("updateSnapshot", { params, body });
      toast("done", `Changed the snapshot “${name}”`);
      onDone();
    },
    fieldOf: (code) => ({ name_taken: "name" })[code],
  });
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <Field id="snapshot-name" label="Name" error={errors.name}>
        {(attributes) => (
          <input {...attributes} name="name" autoComplete="off" defaultValue={snapshot.name} />
        )}
      </Field>
      <Field id="snapshot-description" label="Description" error={errors.description}>
        {(attributes) => (
          <textarea
            {...attributes}
            name="description"
            rows={3}
            defaultValue={snapshot.description}
          />
        )}
      </Field>
      <Check
        name="template"
        isOn={snapshot.template}
        hint="It is then offered where a guest is created"
      >
        Guests are to be made of it
      </Check>
      <FormEnd verb="Save" isBusy={isBusy} onCancel={onDone} />
    </form>
  );
}
