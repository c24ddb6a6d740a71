import { useState } from "preact/hooks";
import { phaseOf, whyNot } from "../../hypervisor/supervisor/api/actions.ts";
import type { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatBytes } from "../components/format.ts";
import { ActionButton } from "./action_button.tsx";
import { call, messageOf } from "./api.ts";
import { CloudInitForm } from "./cloud_init_form.tsx";
import { Confirm, Dialog } from "./dialog.tsx";
import { putGuest } from "./live.ts";
import { toast } from "./toasts.ts";

/** What a guest's system is told by cloud-init, and the way to change it. */
export function CloudInitPanel({ guest }: { guest: Guest }) {
  const [asks, setAsks] = useState<"change" | "remove" | null>(null);
  const { cloudInit } = guest;
  const done = () => setAsks(null);
  const reason = whyNot("update", phaseOf(guest));
  const verb = cloudInit === null ? "Add a cloud-init disk" : "Change what cloud-init finds";
  return (
    <section class="facts" aria-label="cloud-init">
      <div class="facts-head">
        <h2>cloud-init</h2>
        <div class="row">
          <ActionButton
            icon={cloudInit === null ? "plus" : "edit"}
            kind="quiet"
            isSmall
            reason={reason}
            onClick={() => setAsks("change")}
          >
            {verb}
          </ActionButton>
          {cloudInit !== null && (
            <ActionButton
              icon="trash"
              kind="quiet"
              isSmall
              reason={reason}
              onClick={() => setAsks("remove")}
            >
              Take the cloud-init disk away
            </ActionButton>
          )}
        </div>
      </div>
      {cloudInit === null
        ? <p class="field-hint">It has no disk that tells an image made for clouds who it is</p>
        : <Facts facts={cloudInit} />}
      <Dialog title={verb} isOpen={asks === "change"} onClose={done}>
        <CloudInitForm guest={guest} onDone={done} />
      </Dialog>
      <Confirm
        title={`Take the cloud-init disk of ${guest.name} away?`}
        verb="Take it away"
        isOpen={asks === "remove"}
        onClose={done}
        onConfirm={() => void remove(guest)}
      >
        What is on it is deleted, and the guest has no such disk from its next start on
      </Confirm>
    </section>
  );
}

function Facts({ facts }: { facts: NonNullable<Guest["cloudInit"]> }) {
  const { hostname, instanceId, userDataBytes, networkConfigBytes, sshKeys } = facts;
  const size = (bytes: number | null) => bytes === null ? "none" : formatBytes(bytes);
  const rows = [
    ["Host name", hostname],
    ["SSH keys", sshKeys === 0 ? "none" : `${sshKeys}`],
    ["User data", size(userDataBytes)],
    ["Network configuration", size(networkConfigBytes)],
  ];
  return (
    <dl>
      {rows.map(([term, text]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{text}</dd>
        </div>
      ))}
      <div>
        <dt>Instance</dt>
        <dd>
          <code>{instanceId}</code>
        </dd>
      </div>
    </dl>
  );
}

async function remove(guest: Guest): Promise<void> {
  try {
    const body = { cloudInit: null };
    putGuest(await call("updateGuest", { params: { id: guest.id }, body }));
    toast("done", "Took the cloud-init disk away");
  } catch (error) {
    toast("problem", messageOf(error));
  }
}
