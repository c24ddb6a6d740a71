import { useState } from "preact/hooks";
import type { UnsettledMove } from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "./action_button.tsx";
import { Dialog } from "./dialog.tsx";
import { peerWords, stateWords } from "./move_words.ts";
import { ResolveForm } from "./resolve_form.tsx";

/** Moves whose other host has not said, or not heard, whose the guest is; nothing where there are none. */
export function UnsettledMoves({ moves }: { moves: UnsettledMove[] }) {
  const [asks, setAsks] = useState<UnsettledMove | null>(null);
  const close = () => setAsks(null);
  if (moves.length === 0) return null;
  return (
    <section class="unsettled" aria-label="Moves that are not settled">
      <h2>Moves that are not settled</h2>
      <ul>
        {moves.map((move) => (
          <li key={move.id}>
            <span>
              <b>{move.guestName}</b>
              <span class="guest-sub">
                {move.direction === "leaving" ? "to" : "from"} {peerWords(move)}
              </span>
            </span>
            <span>{stateWords(move)}</span>
            {move.state === "unknown" && (
              <ActionButton
                icon="here"
                reason={null}
                onClick={() => setAsks(move)}
              >
                Say where {move.guestName} is
              </ActionButton>
            )}
          </li>
        ))}
      </ul>
      <Dialog title={`Where is ${asks?.guestName}?`} isOpen={asks !== null} onClose={close}>
        {asks && <ResolveForm move={asks} onDone={close} />}
      </Dialog>
    </section>
  );
}
