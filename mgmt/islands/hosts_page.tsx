import { useState } from "preact/hooks";
import type { Host, Peer, UnsettledMove } from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "../client/action_button.tsx";
import { call, messageOf } from "../client/api.ts";
import { Confirm, Dialog } from "../client/dialog.tsx";
import { useLive } from "../client/live.ts";
import { useMoves } from "../client/live_moves.ts";
import { dropPeer, usePeers } from "../client/live_peers.ts";
import { PairForm } from "../client/pair_form.tsx";
import { PairingCode } from "../client/pairing_code.tsx";
import { toast } from "../client/toasts.ts";
import { UnsettledMoves } from "../client/unsettled_moves.tsx";
import { formatMiB, formatTime } from "../components/format.ts";
import { ReachBadge } from "../components/reach_badge.tsx";

export default function HostsPage(props: {
  host: Host;
  peers: Peer[];
  moves: UnsettledMove[];
}) {
  const { host } = useLive({ host: props.host });
  const peers = usePeers(props.peers);
  const moves = useMoves(props.moves);
  const [asks, setAsks] = useState<"pair" | "code" | Peer | null>(null);
  const doomed = typeof asks === "object" ? asks : null;
  const close = () => setAsks(null);
  return (
    <>
      <header class="page-head">
        <div>
          <h1>Hosts</h1>
          <p class="page-sub">
            <b>{host.name}</b>
            <span>Guests move between hosts that are paired</span>
          </p>
        </div>
        <div class="row">
          <ActionButton icon="here" reason={null} onClick={() => setAsks("code")}>
            Show this host’s code
          </ActionButton>
          <ActionButton icon="plus" kind="primary" reason={null} onClick={() => setAsks("pair")}>
            Pair with a host
          </ActionButton>
        </div>
      </header>
      <UnsettledMoves moves={moves} />
      {peers.length === 0 ? <NoPeers /> : <PeerTable peers={peers} onRemove={setAsks} />}
      <Dialog title="Pair with another host" isOpen={asks === "pair"} onClose={close}>
        <PairForm onDone={close} />
      </Dialog>
      <Dialog title="This host’s pairing code" isOpen={asks === "code"} onClose={close}>
        <PairingCode onDone={close} />
      </Dialog>
      <Confirm
        title={`Remove ${doomed?.name}?`}
        verb="Remove host"
        isOpen={doomed !== null}
        onClose={close}
        onConfirm={() => doomed && void remove(doomed)}
      >
        Guests can then move neither there nor here, until the two are paired again. The other host
        forgets this one too, if it can be reached
      </Confirm>
    </>
  );
}

async function remove({ id, name }: Peer): Promise<void> {
  try {
    await call("deletePeer", { params: { id } });
    dropPeer(id);
    toast("done", `Removed ${name}`);
  } catch (error) {
    toast("problem", messageOf(error));
  }
}

function NoPeers() {
  return (
    <section class="empty">
      <svg class="empty-art" viewBox="0 0 120 72" aria-hidden="true">
        <rect class="dashed" x="6" y="14" width="40" height="44" rx="4" />
        <rect class="dashed" x="74" y="14" width="40" height="44" rx="4" />
        <path d="M52 36h16M62 30l6 6-6 6" />
      </svg>
      <h2>No other hosts yet</h2>
      <p>
        Have another host show its code, and pair with it here. The two then know each other by
        their certificates, and running guests can move between them
      </p>
    </section>
  );
}

function PeerTable({ peers, onRemove }: { peers: Peer[]; onRemove: (peer: Peer) => void }) {
  const tell = (mib: number | null) => mib === null ? "–" : formatMiB(mib);
  return (
    <table class="list hosts">
      <caption class="unseen">Hosts that this one is paired with</caption>
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">State</th>
          <th scope="col">Processor</th>
          <th scope="col" class="number">Memory free</th>
          <th scope="col" class="number">Storage free</th>
          <th scope="col">Paired</th>
          <th scope="col">
            <span class="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {peers.map((peer) => (
          <tr key={peer.id}>
            <th scope="row">
              {peer.name}
              <span class="guest-sub">
                {[peer.address, peer.version !== null && `version ${peer.version}`]
                  .filter(Boolean).join(" · ")}
              </span>
            </th>
            <td data-label="State">
              <ReachBadge peer={peer} />
              {!peer.reachable && <span class="guest-sub">{peer.problem}</span>}
            </td>
            <td data-label="Processor">{peer.cpuModel ?? "–"}</td>
            <td data-label="Memory free" class="number">{tell(peer.memoryFreeMiB)}</td>
            <td data-label="Storage free" class="number">{tell(peer.diskFreeMiB)}</td>
            <td data-label="Paired">
              <span title={`Its certificate’s SHA-256 is ${peer.fingerprint}`}>
                {formatTime(peer.pairedAt).slice(0, 10)}
              </span>
            </td>
            <td class="acts">
              <ActionButton
                icon="trash"
                kind="quiet"
                isSmall
                reason={null}
                onClick={() => onRemove(peer)}
              >
                Remove {peer.name}
              </ActionButton>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
