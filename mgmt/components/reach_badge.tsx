import type { Peer } from "../../hypervisor/supervisor/api/schemas.ts";

/** Whether another host answers, in the shapes and colours that guests' states have. */
export function ReachBadge({ peer }: { peer: Peer }) {
  return (
    <span class={`state ${peer.reachable ? "state-running" : "state-failed"}`}>
      <svg class="state-shape" viewBox="0 0 12 12" aria-hidden="true">
        {peer.reachable ? <circle cx="6" cy="6" r="5" /> : <path d="M6 .8 11.7 11H.3z" />}
      </svg>
      {peer.reachable ? "Reachable" : "Not reachable"}
    </span>
  );
}
