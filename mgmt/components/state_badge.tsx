import type { GuestState } from "../../hypervisor/supervisor/api/actions.ts";

const LABELS: Record<GuestState, string> = {
  stopped: "Stopped",
  starting: "Starting",
  running: "Running",
  stopping: "Stopping",
  failed: "Failed",
};

/** Each state has a shape, a colour and a word of its own. */
export function StateBadge({ state, isPaused = false }: { state: GuestState; isPaused?: boolean }) {
  if (isPaused && state === "running") {
    return (
      <span class="state state-paused">
        <svg class="state-shape" viewBox="0 0 12 12" aria-hidden="true">
          <path d="M2 1h3v10H2zM7 1h3v10H7z" />
        </svg>
        Paused
      </span>
    );
  }
  return (
    <span class={`state state-${state}`}>
      <svg class="state-shape" viewBox="0 0 12 12" aria-hidden="true">
        {state === "running" && <circle cx="6" cy="6" r="5" />}
        {state === "stopped" && <rect x="1.8" y="1.8" width="8.4" height="8.4" rx="1" />}
        {state === "failed" && <path d="M6 .8 11.7 11H.3z" />}
        {(state === "starting" || state === "stopping") && (
          <path class="turning" d="M6 1a5 5 0 1 1-5 5" />
        )}
      </svg>
      {LABELS[state]}
    </span>
  );
}
