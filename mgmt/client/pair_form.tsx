import type { PeerAdd } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, loadSchemas } from "./api.ts";
import { Field } from "./field.tsx";
import { FormEnd } from "./form_end.tsx";
import { checkForm } from "./forms.ts";
import { putPeer } from "./live_peers.ts";
import { toast } from "./toasts.ts";
import { useForm } from "./use_form.ts";

/** Where a problem that names no field belongs. */
const FIELDS: Record<string, string> = {
  wrong_code: "code",
  peer_unreachable: "address",
  peer_refused: "address",
};

/** Pairs this host with another one, by the code that that one shows. */
export function PairForm({ onDone }: { onDone: () => void }) {
  const { errors, isBusy, submit } = useForm<PeerAdd>({
    check: async (data) => {
      const { PeerAdd } = await loadSchemas();
      return checkForm(PeerAdd, {
        address: String(data.get("address")).trim(),
        code: String(data.get("code")).trim(),
      });
    },
    send: async (body) => {
      const peer = await call("addPeer", { body });
      putPeer(peer);
      toast("done", `Paired with ${peer.name}`);
      onDone();
    },
    fieldOf: (code) => FIELDS[code],
  });
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <Field
        id="pair-address"
        label="Address of the other host"
        error={errors.address}
        hint="A name or an IP address, as it shows it beside its code"
      >
        {(attributes) => (
          <input
            {...attributes}
            class="code"
            name="address"
            autoComplete="off"
            autoCapitalize="none"
            spellcheck={false}
          />
        )}
      </Field>
      <Field
        id="pair-code"
        label="Its code"
        error={errors.code}
        hint="On the other host’s page “Hosts”, under “Show this host’s code”"
      >
        {(attributes) => (
          <input
            {...attributes}
            class="code"
            name="code"
            autoComplete="off"
            autoCapitalize="characters"
            spellcheck={false}
          />
        )}
      </Field>
      <FormEnd verb={isBusy ? "Pairing" : "Pair"} isBusy={isBusy} onCancel={onDone} />
    </form>
  );
}
