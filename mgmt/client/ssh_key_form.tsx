import type { HostSsh, HostSshChange } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, loadSchemas } from "./api.ts";
import { Field } from "./field.tsx";
import { FormEnd } from "./form_end.tsx";
import { checkForm } from "./forms.ts";
import { useForm } from "./use_form.ts";

interface SshKeyFormProps {
  ssh: HostSsh;
  onTold: (ssh: HostSsh) => void;
  onDone: () => void;
}

/** Takes keys, one a line, that may log in to the host besides those that may. */
export function SshKeyForm({ ssh, onTold, onDone }: SshKeyFormProps) {
  const { errors, isBusy, submit } = useForm<HostSshChange>({
    async check(data) {
      const { HostSshChange } = await loadSchemas();
      const added = String(data.get("keys")).split("\n").map((it) => it.trim()).filter(Boolean);
      if (added.length === 0) return { errors: { keys: "Must not be empty" } };
      const keys = [...new Set([...ssh.keys.map(({ key }) => key), ...added])];
      return checkForm(HostSshChange, { keys });
    },
    async send(body) {
      onTold(await call("changeHostSsh", { body }));
      onDone();
    },
    fieldOf: (code) => code === "ssh_refused" ? "keys" : undefined,
  });
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <Field
        id="ssh-keys"
        label="Public keys, one a line"
        error={errors.keys}
        hint="As in a file such as id_ed25519.pub. Who has the other half can do everything on this host"
      >
        {(attributes) => (
          <textarea
            {...attributes}
            class="code"
            name="keys"
            rows={4}
            spellcheck={false}
            autoComplete="off"
          />
        )}
      </Field>
      <FormEnd verb="Let in" isBusy={isBusy} onCancel={onDone} />
    </form>
  );
}
