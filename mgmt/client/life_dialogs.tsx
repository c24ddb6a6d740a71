import type { Guest, Host, Peer, SnapshotTree } from "../../hypervisor/supervisor/api/schemas.ts";
import { Confirm, Dialog } from "./dialog.tsx";
import { ForkForm } from "./fork_form.tsx";
import { upgrade } from "./life_actions.ts";
import { usePeers } from "./live_peers.ts";
import { useSnapshots } from "./live_snapshots.ts";
import { MoveForm } from "./move_form.tsx";

interface LifeDialogsProps {
  guest: Guest;
  host: Host;
  /** What was known when the page was made. */
  peers: Peer[];
  tree: SnapshotTree;
  asks: "fork" | "move" | "upgrade" | null;
  onDone: () => void;
}

/** What is asked before a guest is forked, moved or gets a new VMM. */
export function LifeDialogs({ guest, host, asks, onDone, ...seed }: LifeDialogsProps) {
  const peers = usePeers(seed.peers);
  const { snapshots } = useSnapshots(seed.tree);
  return (
    <>
      <Dialog title={`Fork ${guest.name}`} isOpen={asks === "fork"} onClose={onDone}>
        <ForkForm guest={guest} onDone={onDone} />
      </Dialog>
      <Dialog
        title={`Move ${guest.name} to another host`}
        isOpen={asks === "move"}
        onClose={onDone}
      >
        <MoveForm
          guest={guest}
          host={host}
          peers={peers}
          snapshots={snapshots.length}
          onDone={onDone}
        />
      </Dialog>
      <Confirm
        title={`Upgrade the VMM of ${guest.name}?`}
        verb="Upgrade"
        isOpen={asks === "upgrade"}
        onClose={onDone}
        onConfirm={() => void upgrade(guest)}
        isHarmless
      >
        It goes on in a new process, of the version that is installed on this host now. It stands
        still for an instant and loses nothing; if the new one does not take it over, it stays where
        it is
      </Confirm>
    </>
  );
}
