import type { Guest, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { endWords } from "../components/task_words.ts";

/** What is left of a guest's page when the guest is no more on this host. */
export function GoneGuest({ guest, tasks }: { guest: Guest; tasks: Task[] }) {
  const move = tasks.find((it) =>
    it.guest === guest.id && it.kind === "move" && it.state === "done"
  );
  return (
    <section class="empty">
      <h1>{move ? `${guest.name} has moved` : `${guest.name} is gone`}</h1>
      <p>
        {move
          ? `${endWords(move)}. Its page is on ${move.detail} now`
          : "It was deleted, with its disks"}
      </p>
      <p class="row center">
        <a class="button primary" href="/">Go to the guests</a>
      </p>
    </section>
  );
}
