import { useState } from "preact/hooks";
import { parsePublicKey } from "../../hypervisor/supervisor/api/public_key_parts.ts";
import type { HostSsh } from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "./action_button.tsx";
import { call, messageOf } from "./api.ts";
import { Confirm, Dialog } from "./dialog.tsx";
import { SshKeyForm } from "./ssh_key_form.tsx";
import { toast } from "./toasts.ts";

type Key = HostSsh["keys"][number];

/** Who may log in to the host itself. */
export function SshPanel(props: { ssh: HostSsh }) {
  const [ssh, setSsh] = useState(props.ssh);
  const [adds, setAdds] = useState(false);
  const [doomed, setDoomed] = useState<Key | null>(null);
  const { keys, isOn, hostKey, problem } = ssh;
  const remove = async ({ key }: Key) => {
    try {
      const left = keys.map((it) => it.key).filter((it) => it !== key);
      setSsh(await call("changeHostSsh", { body: { keys: left } }));
    } catch (error) {
      toast("problem", messageOf(error));
    }
  };
  return (
    <section aria-label="SSH">
      <header class="page-head">
        <div>
          <h2>SSH</h2>
          <p class="page-sub">
            <b>{isOn ? "On" : "Off"}</b>
            <span>
              {keys.length === 0
                ? "With a key, somebody can log in to the host itself, as root. There are no passwords"
                : "Who has one of these keys can log in to the host itself, as root"}
            </span>
          </p>
          {isOn && hostKey !== null && (
            <p class="page-sub">
              <b>The host’s key</b>
              <code class="fingerprint">{hostKey.fingerprint}</code>
            </p>
          )}
        </div>
        <div class="row">
          <ActionButton icon="plus" kind="primary" reason={null} onClick={() => setAdds(true)}>
            Add an SSH key
          </ActionButton>
        </div>
      </header>
      {problem !== null && <p class="banner" role="alert">{problem}</p>}
      {keys.length > 0 && <KeyTable keys={keys} onRemove={setDoomed} />}
      <Dialog title="Add an SSH key" isOpen={adds} onClose={() => setAdds(false)}>
        <SshKeyForm ssh={ssh} onTold={setSsh} onDone={() => setAdds(false)} />
      </Dialog>
      <Confirm
        title={doomed === null ? "Remove the key?" : `Remove ${nameOf(doomed)}?`}
        verb="Remove key"
        isOpen={doomed !== null}
        onClose={() => setDoomed(null)}
        onConfirm={() => doomed && void remove(doomed)}
      >
        Nobody can log in with it any more, and whoever is logged in now is logged out
        {keys.length === 1 && ". It is the last one: SSH is switched off"}
      </Confirm>
    </section>
  );
}

/** What a person knows a key by. */
function nameOf({ key, fingerprint }: Key): string {
  return parsePublicKey(key)?.comment || fingerprint;
}

function KeyTable({ keys, onRemove }: { keys: Key[]; onRemove: (key: Key) => void }) {
  return (
    <table class="list network">
      <caption class="unseen">Keys that may log in by SSH</caption>
      <thead>
        <tr>
          <th scope="col">Key</th>
          <th scope="col">Kind</th>
          <th scope="col">
            <span class="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {keys.map((it) => (
          <tr key={it.key}>
            <th scope="row">
              {nameOf(it)}
              <code class="guest-sub fingerprint">{it.fingerprint}</code>
            </th>
            <td data-label="Kind">{parsePublicKey(it.key)?.type ?? "–"}</td>
            <td class="acts">
              <ActionButton
                icon="trash"
                kind="quiet"
                isSmall
                reason={null}
                onClick={() => onRemove(it)}
              >
                Remove {nameOf(it)}
              </ActionButton>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
