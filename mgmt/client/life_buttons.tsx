import type { Guest, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "./action_button.tsx";
import { reasonAgainstLife } from "./life_actions.ts";

interface LifeButtonsProps {
  guest: Guest;
  /** What is under way with the guest. */
  task: Task | undefined;
  onAsk: (ask: "fork" | "move" | "upgrade") => void;
}

/** More guests out of this one, another host for it, another VMM. */
export function LifeButtons({ guest, task, onAsk }: LifeButtonsProps) {
  return (
    <>
      <ActionButton
        icon="fork"
        kind="quiet"
        reason={reasonAgainstLife(guest, "fork", task)}
        onClick={() => onAsk("fork")}
      >
        Fork
      </ActionButton>
      <ActionButton
        icon="move"
        kind="quiet"
        reason={reasonAgainstLife(guest, "move", task)}
        onClick={() => onAsk("move")}
      >
        Move
      </ActionButton>
      <ActionButton
        icon="upgrade"
        kind="quiet"
        reason={reasonAgainstLife(guest, "upgrade", task)}
        onClick={() => onAsk("upgrade")}
      >
        Upgrade the VMM
      </ActionButton>
    </>
  );
}
