import { useEffect, useState } from "preact/hooks";
import { confirmNetwork } from "../../hypervisor/supervisor/api/confirm_network.ts";
import type { HostNetwork } from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "./action_button.tsx";
import { call, messageOf } from "./api.ts";
import { toast } from "./toasts.ts";
import { watchTrial } from "./trial_watch.ts";

interface NetworkTrialProps {
  trial: NonNullable<HostNetwork["trial"]>;
  /** Told how the network is once it is confirmed, undone, or the time is over. */
  onTold: (network: HostNetwork) => void;
}

/** Counts down to the moment at which a change is undone, and takes the word that keeps it. */
export function NetworkTrial({ trial, onTold }: NetworkTrialProps) {
  const left = useSecondsLeft(trial, onTold);
  const [busy, setBusy] = useState<"confirm" | "undo" | null>(null);
  const end = async (what: "confirm" | "undo") => {
    setBusy(what);
    try {
      onTold(await (what === "confirm" ? confirmNetwork(call) : call("undoNetwork", {})));
      toast("done", what === "confirm" ? "The network is kept" : "The change was undone");
    } catch (error) {
      toast("problem", messageOf(error));
      setBusy(null);
    }
  };
  return (
    <section class="banner trial" aria-label="A change that is tried">
      <p>
        <b>The changed network is being tried.</b>{" "}
        It is undone unless you keep it. If this page does not reach the host any more, open the
        console at its new address and keep it there.
      </p>
      <p class="trial-left" role="timer" aria-live="off">
        {left > 0 ? `${left} s left` : "Going back to the network as it was"}
      </p>
      <div class="row">
        <ActionButton
          icon="check"
          kind="primary"
          reason={left > 0 ? null : "The time is over"}
          isBusy={busy === "confirm"}
          onClick={() => void end("confirm")}
        >
          Keep this network
        </ActionButton>
        <ActionButton
          icon="revert"
          reason={left > 0 ? null : "The time is over"}
          isBusy={busy === "undo"}
          onClick={() => void end("undo")}
        >
          Undo
        </ActionButton>
      </div>
    </section>
  );
}

function useSecondsLeft(
  trial: NetworkTrialProps["trial"],
  onTold: NetworkTrialProps["onTold"],
): number {
  const [left, setLeft] = useState(trial.secondsLeft);
  useEffect(() =>
    watchTrial({
      secondsLeft: trial.secondsLeft,
      ask: (signal) => call("getNetwork", { signal }),
      onLeft: setLeft,
      onTold,
    }), [trial]);
  return left;
}
