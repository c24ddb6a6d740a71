import { useState } from "preact/hooks";
import type {
  Guest,
  Snapshot,
  SnapshotTree,
  Task,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { formatBytes } from "../components/format.ts";
import { ActionButton } from "./action_button.tsx";
import { call, messageOf } from "./api.ts";
import { Confirm, Dialog } from "./dialog.tsx";
import { ForkForm } from "./fork_form.tsx";
import { reasonAgainstLife } from "./life_actions.ts";
import { putGuest } from "./live.ts";
import { useSnapshots } from "./live_snapshots.ts";
import { RevertForm } from "./revert_form.tsx";
import { SnapshotEditForm } from "./snapshot_edit_form.tsx";
import { SnapshotForm } from "./snapshot_form.tsx";
import { HereRow, MOST_LANES, type SnapshotAsk, SnapshotRow } from "./snapshot_row.tsx";
import { treeRows } from "./snapshot_tree.ts";
import { toast } from "./toasts.ts";

interface SnapshotPanelProps {
  guest: Guest;
  /** What was known when the page was made. */
  tree: SnapshotTree;
  /** What is under way with the guest. */
  task: Task | undefined;
}

type Asks = { what: "take" } | { what: SnapshotAsk; snapshot: Snapshot };

/** A guest's snapshots: what comes from what, and where the guest is now. */
export function SnapshotPanel({ guest, tree: seed, task }: SnapshotPanelProps) {
  const tree = useSnapshots(seed);
  const [asks, setAsks] = useState<Asks | null>(null);
  const done = () => setAsks(null);
  const rows = treeRows(tree);
  const lanes = Math.min(MOST_LANES, 1 + Math.max(...rows.map(({ lane }) => lane)));
  const nameOf = (id: string | null) => tree.snapshots.find((it) => it.id === id)?.name ?? null;
  const bytes = tree.snapshots.reduce((sum, it) => sum + (it.ownBytes ?? 0), 0);
  const reasons = {
    revert: reasonAgainstLife(guest, "revert", task),
    fork: reasonAgainstLife(guest, "fork", task),
    delete: null,
  };
  return (
    <section class="snapshots" aria-label="Snapshots">
      <div class="panel-head">
        <h2>
          Snapshots{" "}
          {tree.snapshots.length > 0 && (
            <span class="device-ports">{formatBytes(bytes)} of their own</span>
          )}
        </h2>
        <ActionButton
          icon="snapshot"
          reason={reasonAgainstLife(guest, "snapshot", task)}
          onClick={() => setAsks({ what: "take" })}
        >
          Take a snapshot
        </ActionButton>
      </div>
      {tree.snapshots.length === 0
        ? <p class="nothing">It has none: there is no way back to what it is now</p>
        : (
          <ol class="snapshot-tree">
            {rows.map((row) => {
              const { snapshot } = row;
              const place = { row, lanes };
              return snapshot === null
                ? (
                  <HereRow key="here" {...place} guest={guest} before={nameOf(tree.current)}>
                    <Resumes guest={guest} name={nameOf(guest.resumesFrom)} />
                  </HereRow>
                )
                : (
                  <SnapshotRow
                    key={snapshot.id}
                    {...place}
                    snapshot={snapshot}
                    before={nameOf(snapshot.parent)}
                    isBase={guest.state === "running" && snapshot.id === tree.base}
                    reasons={{
                      ...reasons,
                      delete: snapshot.id === guest.resumesFrom
                        ? "Cannot delete it: the guest’s next start goes on from it"
                        : null,
                    }}
                    onAsk={(what) => setAsks({ what, snapshot })}
                  />
                );
            })}
          </ol>
        )}
      <SnapshotDialogs guest={guest} asks={asks} onDone={done} />
    </section>
  );
}

interface SnapshotDialogsProps {
  guest: Guest;
  asks: Asks | null;
  onDone: () => void;
}

function SnapshotDialogs({ guest, asks, onDone }: SnapshotDialogsProps) {
  const snapshot = asks === null || asks.what === "take" ? null : asks.snapshot;
  const name = snapshot?.name ?? "";
  return (
    <>
      <Dialog
        title={`Take a snapshot of ${guest.name}`}
        isOpen={asks?.what === "take"}
        onClose={onDone}
      >
        <SnapshotForm guest={guest} onDone={onDone} />
      </Dialog>
      <Dialog
        title={`Revert ${guest.name} to ${name}?`}
        isOpen={asks?.what === "revert"}
        onClose={onDone}
      >
        {snapshot && <RevertForm guest={guest} snapshot={snapshot} onDone={onDone} />}
      </Dialog>
      <Dialog
        title={`Fork ${guest.name} from ${name}`}
        isOpen={asks?.what === "fork"}
        onClose={onDone}
      >
        {snapshot && <ForkForm guest={guest} snapshot={snapshot} onDone={onDone} />}
      </Dialog>
      <Dialog title={`Change ${name}`} isOpen={asks?.what === "edit"} onClose={onDone}>
        {snapshot && <SnapshotEditForm guest={guest} snapshot={snapshot} onDone={onDone} />}
      </Dialog>
      <Confirm
        title={`Delete the snapshot ${name}?`}
        verb="Delete snapshot"
        isOpen={asks?.what === "delete"}
        onClose={onDone}
        onConfirm={() => snapshot && void remove(guest, snapshot)}
      >
        There is then no way back to it. Those that come after it stay, and so does the guest. This
        cannot be undone
      </Confirm>
    </>
  );
}

async function remove(guest: Guest, { id, name }: Snapshot): Promise<void> {
  try {
    await call("deleteSnapshot", { params: { id: guest.id, snapshot: id } });
    toast("done", `Deleted the snapshot “${name}”`);
  } catch (error) {
    toast("problem", messageOf(error));
  }
}

/** That a reverted guest goes on from the snapshot's memory, and the way to have it boot instead. */
function Resumes({ guest, name }: { guest: Guest; name: string | null }) {
  if (guest.resumesFrom === null) return null;
  const discard = async () => {
    try {
      putGuest(await call("discardMemory", { params: { id: guest.id } }));
    } catch (error) {
      toast("problem", messageOf(error));
    }
  };
  return (
    <p class="device-note row">
      <span>Its next start goes on in the middle of {name ?? "a snapshot"}</span>
      <button type="button" class="button small" onClick={() => void discard()}>
        Boot instead
      </button>
    </p>
  );
}
