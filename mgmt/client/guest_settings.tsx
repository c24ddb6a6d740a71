import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { whyNot } from "../../hypervisor/supervisor/api/actions.ts";
import type { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatMiB, formatTime } from "../components/format.ts";
import { ActionButton } from "./action_button.tsx";
import { call, fieldErrors, loadSchemas, messageOf } from "./api.ts";
import { Dialog } from "./dialog.tsx";
import { putGuest } from "./live.ts";
import { Field } from "./field.tsx";
import { checkForm, focusFirst } from "./forms.ts";
import { toast } from "./toasts.ts";
import { Uptime } from "./uptime.tsx";

function Row({ term, children }: { term: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** What the guest is made of, and the way to change it. */
export function GuestSettings({ guest }: { guest: Guest }) {
  const [isOpen, setOpen] = useState(false);
  const isUp = guest.state === "running" || guest.state === "stopping";
  return (
    <section class="facts" aria-label="Settings">
      <div class="facts-head">
        <h2>Settings</h2>
        <ActionButton
          icon="edit"
          kind="quiet"
          isSmall
          reason={whyNot("update", guest.state)}
          onClick={() => setOpen(true)}
        >
          Change the settings
        </ActionButton>
      </div>
      <dl>
        <Row term="Up">
          <Uptime since={isUp ? guest.startedAt : null} />
        </Row>
        <Row term="vCPUs">{guest.cpus}</Row>
        <Row term="Memory">{formatMiB(guest.memoryMiB)}</Row>
        <Row term="Disk">{guest.diskMiB === null ? "none" : formatMiB(guest.diskMiB)}</Row>
        {guest.diskImage !== null && <Row term="Made from">{guest.diskImage}</Row>}
        <Row term="Kernel">{guest.kernel}</Row>
        <Row term="Initrd">{guest.initrd ?? "none"}</Row>
        <Row term="Command line">
          <code>{guest.cmdline}</code>
        </Row>
        <Row term="Network">
          {guest.network ? <code>{guest.mac}</code> : "none"}
        </Row>
        <Row term="Starts with the host">{guest.autostart ? "yes" : "no"}</Row>
        <Row term="Created">{formatTime(guest.createdAt)}</Row>
      </dl>
      <Dialog title={`Change ${guest.name}`} isOpen={isOpen} onClose={() => setOpen(false)}>
        <SettingsForm guest={guest} onDone={() => setOpen(false)} />
      </Dialog>
    </section>
  );
}

function SettingsForm({ guest, onDone }: { guest: Guest; onDone: () => void }) {
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [isBusy, setBusy] = useState(false);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy) return;
    const form = event.target as HTMLFormElement;
    const data = new FormData(form);
    setBusy(true);
    try {
      const { GuestUpdate } = await loadSchemas();
      const checked = checkForm(GuestUpdate, {
        name: String(data.get("name")),
        cpus: Number(data.get("cpus")),
        memoryMiB: Number(data.get("memoryMiB")),
        cmdline: String(data.get("cmdline")),
        network: data.has("network"),
        autostart: data.has("autostart"),
      });
      if ("errors" in checked) {
        setBusy(false);
        return fail(form, checked.errors);
      }
      putGuest(await call("updateGuest", { params: { id: guest.id }, body: checked.value }));
      toast("done", `Changed ${guest.name}`);
      onDone();
    } catch (error) {
      setBusy(false);
      const fields = fieldErrors(error);
      fail(form, Object.keys(fields).length > 0 ? fields : { form: messageOf(error) });
    }
  };
  const fail = (form: HTMLFormElement, found: Record<string, string>) => {
    setErrors(found);
    focusFirst(form, found);
  };

  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <Field id="set-name" label="Name" error={errors.name}>
        {(attributes) => <input {...attributes} name="name" defaultValue={guest.name} />}
      </Field>
      <div class="two">
        <Field id="set-cpus" label="vCPUs" error={errors.cpus}>
          {(attributes) => (
            <input
              {...attributes}
              name="cpus"
              type="number"
              min="1"
              max="8"
              defaultValue={`${guest.cpus}`}
            />
          )}
        </Field>
        <Field id="set-memory" label="Memory, MiB" error={errors.memoryMiB}>
          {(attributes) => (
            <input
              {...attributes}
              name="memoryMiB"
              type="number"
              min="64"
              step="64"
              defaultValue={`${guest.memoryMiB}`}
            />
          )}
        </Field>
      </div>
      <Field id="set-cmdline" label="Kernel command line" error={errors.cmdline}>
        {(attributes) => (
          <textarea
            {...attributes}
            class="code"
            name="cmdline"
            rows={3}
            defaultValue={guest.cmdline}
          />
        )}
      </Field>
      <label class="check">
        <input type="checkbox" name="network" defaultChecked={guest.network} />
        <span>Network card on the host’s bridge</span>
      </label>
      <label class="check">
        <input type="checkbox" name="autostart" defaultChecked={guest.autostart} />
        <span>Start with the host</span>
      </label>
      <div class="row end">
        <button type="button" class="button" onClick={onDone}>Cancel</button>
        <button type="submit" class="button primary" aria-busy={isBusy ? "true" : undefined}>
          Save
        </button>
      </div>
    </form>
  );
}
