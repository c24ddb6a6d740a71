/**
 * Has guests go on in a VMM of the version that is installed now.
 *
 * @module
 */
import { isAllowed, phaseOf } from "../api/actions.ts";
import type { Guest, Task } from "../api/schemas.ts";
import { parseRest, UsageError } from "./arguments.ts";
import { type Command, type Context, find, show } from "./command.ts";

export const UPGRADE_COMMAND: Command = {
  name: "upgrade",
  words: "NAME | --all",
  summary:
    "Move running guests to a new VMM of the installed version; --all takes those of another",
  async run(context, rest) {
    const { words: [name, ...more], options } = parseRest(rest, { booleans: ["all"] });
    const isAll = options.all === true;
    if (more.length > 0 || isAll === (name !== undefined)) {
      throw new UsageError("it takes NAME or --all");
    }
    const guests = isAll ? await outdated(context) : [await find(context, name)];
    const ended: Task[] = [];
    // One after the other: each stands still for less if it has the host for itself.
    for (const guest of guests) ended.push(await upgraded(context, guest));
    await show(context, ended, [
      ["NAME", "UPGRADE", "STOOD STILL", "ERROR"],
      ...ended.map(({ guestName, state, pauseMs, error }) => [
        guestName ?? "-",
        state,
        pauseMs === null ? "-" : `${pauseMs} ms`,
        error ?? "-",
      ]),
    ]);
    const failed = ended.filter(({ state }) => state !== "done");
    if (failed.length > 0) {
      throw new Error(`Not upgraded: ${failed.map(({ guestName }) => guestName).join(", ")}`);
    }
  },
};

async function outdated({ api }: Context): Promise<Guest[]> {
  const guests = await api.client.call("listGuests", {});
  return guests.filter((guest) => guest.upgradeAvailable && isAllowed("upgrade", phaseOf(guest)));
}

/** Returns once it is over, however that went. */
async function upgraded({ api }: Context, { id }: Guest): Promise<Task> {
  let task: Task | undefined;
  for await (const { name, data } of api.client.events()) {
    // Once events come, none of it is missed.
    task ??= await api.client.call("upgradeGuest", { params: { id } });
    if (name !== "task") continue;
    const told = data as Task;
    if (told.id === task.id && told.state !== "running") return told;
  }
  throw new Error("Cannot tell how the upgrade goes: the host hung up");
}
