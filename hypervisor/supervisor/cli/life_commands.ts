/**
 * Commands for guests as a whole: snapshots, reverts, forks, and the tasks that they are.
 *
 * @module
 */
import {
  FORK_NETWORKS,
  type ForkNetwork,
  type Guest,
  type Snapshot,
  type SnapshotTree,
} from "../api/schemas.ts";
import { parseRest, UsageError, wholeNumber, yesOrNo } from "./arguments.ts";
import { type Command, type Context, find, show, showGuests, words } from "./command.ts";
import { follow, progressText } from "./task_progress.ts";

const MIB = 1024 * 1024;

const SNAPSHOT_WORDS = `ls GUEST
  snapshot create GUEST NAME [--description TEXT] [--no-memory] [--incremental]
         [--freeze | --no-freeze] [--template] [--when-agent] [--when-serial TEXT] [--within SECONDS] [--no-wait]
  snapshot rm GUEST SNAPSHOT
  snapshot rename GUEST SNAPSHOT NAME`;

/** A snapshot by its name or id. */
async function findSnapshot({ api }: Context, guest: Guest, word: string): Promise<Snapshot> {
  const { id } = guest;
  const { snapshots } = await api.client.call("listSnapshots", { params: { id } });
  const found = snapshots.find((it) => it.name === word || it.id === word);
  if (found === undefined) throw new UsageError(`${guest.name} has no snapshot "${word}"`);
  return found;
}

async function showSnapshots(context: Context, tree: SnapshotTree) {
  const { snapshots, current, base } = tree;
  const nameOf = (id: string | null) => snapshots.find((it) => it.id === id)?.name ?? "-";
  const sizeOf = (bytes: number) => `${Math.ceil(bytes / MIB)} MiB`;
  await show(context, tree, [
    ["SNAPSHOT", "AFTER", "MEMORY", "OWN", "TAKEN", "ID"],
    ...snapshots.map((it) => [
      [
        (it.id === current ? "* " : "  ") + it.name,
        ...(it.template ? ["(template)"] : []),
        ...(it.frozen ? ["(frozen)"] : []),
        ...(it.id === base ? ["(tracked)"] : []),
      ].join(" "),
      nameOf(it.parent),
      it.memory ? sizeOf(it.memoryBytes) : "-",
      it.ownBytes === null ? "-" : sizeOf(it.ownBytes),
      it.createdAt,
      it.id,
    ]),
  ]);
}

async function createSnapshot(context: Context, rest: string[]) {
  const { words: [guestWord, name, ...more], options } = parseRest(rest, {
    strings: ["description", "when-serial", "within"],
    booleans: [
      ...["no-memory", "incremental", "freeze", "no-freeze", "template"],
      ...["when-agent", "no-wait"],
    ],
  });
  if (name === undefined || more.length > 0) throw new UsageError("it takes GUEST NAME");
  const { id } = await find(context, guestWord);
  const serial = options["when-serial"];
  const agent = options["when-agent"] === true;
  const withinSeconds = wholeNumber(options.within, "within");
  const task = await context.api.client.call("createSnapshot", {
    params: { id },
    body: {
      name,
      ...(options.description !== undefined && { description: String(options.description) }),
      memory: options["no-memory"] !== true,
      incremental: options.incremental === true,
      ...(options["no-freeze"] === true && { freeze: false }),
      ...(options.freeze === true && { freeze: true }),
      template: options.template === true,
      ...((agent || serial !== undefined) && {
        readiness: {
          agent,
          serial: serial === undefined ? null : String(serial),
          ...(withinSeconds !== undefined && { withinSeconds }),
        },
      }),
    },
  });
  await follow(context, task, { wait: options["no-wait"] !== true });
}

function networkOf(word: string): ForkNetwork {
  const network = FORK_NETWORKS.find((it) => it === word);
  if (network === undefined) {
    throw new UsageError(`--network is ${FORK_NETWORKS.join(", ")}: not "${word}"`);
  }
  return network;
}

/** What comes after `snapshot`, by its first word. */
const SNAPSHOT_COMMANDS: Record<string, (context: Context, rest: string[]) => Promise<void>> = {
  async ls(context, rest) {
    const { id } = await find(context, words(rest, "GUEST")[0]);
    await showSnapshots(
      context,
      await context.api.client.call("listSnapshots", { params: { id } }),
    );
  },
  create: createSnapshot,
  async rm(context, rest) {
    const [guestWord, word] = words(rest, "GUEST", "SNAPSHOT");
    const guest = await find(context, guestWord);
    const snapshot = await findSnapshot(context, guest, word);
    const params = { id: guest.id, snapshot: snapshot.id };
    await context.api.client.call("deleteSnapshot", { params });
  },
  async rename(context, rest) {
    const [guestWord, word, name] = words(rest, "GUEST", "SNAPSHOT", "NAME");
    const guest = await find(context, guestWord);
    const snapshot = await findSnapshot(context, guest, word);
    const params = { id: guest.id, snapshot: snapshot.id };
    await context.api.client.call("updateSnapshot", { params, body: { name } });
  },
};

export const LIFE_COMMANDS: readonly Command[] = [
  {
    name: "snapshot",
    words: SNAPSHOT_WORDS,
    summary:
      "List, take, delete and rename a guest's snapshots; * marks where it comes from, OWN is " +
      "what deleting one gives back",
    async run(context, [word, ...rest]) {
      const command = Object.hasOwn(SNAPSHOT_COMMANDS, word ?? "") && SNAPSHOT_COMMANDS[word];
      if (!command) throw new UsageError("snapshot takes ls, create, rm or rename");
      await command(context, rest);
    },
  },
  {
    name: "templates",
    words: "",
    summary: "List snapshots that guests are to be made of",
    async run(context, rest) {
      words(rest);
      const templates = await context.api.client.call("listTemplates", {});
      await show(context, templates, [
        ["TEMPLATE", "GUEST", "MEMORY", "TAKEN", "ID"],
        ...templates.map(({ guest, snapshot }) => [
          ...[snapshot.name, guest.name, snapshot.memory ? "yes" : "-"],
          ...[snapshot.createdAt, snapshot.id],
        ]),
      ]);
    },
  },
  {
    name: "revert",
    words: "GUEST SNAPSHOT [--start yes|no] [--no-wait]",
    summary: "Make a guest what it was in a snapshot; what it is now is lost",
    async run(context, rest) {
      const { words: [guestWord, word, ...more], options } = parseRest(rest, {
        strings: ["start"],
        booleans: ["no-wait"],
      });
      if (word === undefined || more.length > 0) throw new UsageError("it takes GUEST SNAPSHOT");
      const guest = await find(context, guestWord);
      const snapshot = await findSnapshot(context, guest, word);
      const start = yesOrNo(options.start, "start");
      const task = await context.api.client.call("revertGuest", {
        params: { id: guest.id, snapshot: snapshot.id },
        body: { ...(start !== undefined && { start }) },
      });
      await follow(context, task, { wait: options["no-wait"] !== true });
    },
  },
  {
    name: "discard-memory",
    words: "GUEST",
    summary: "Have a reverted guest boot at its next start",
    async run(context, rest) {
      const { id } = await find(context, words(rest, "GUEST")[0]);
      await showGuests(context, [
        await context.api.client.call("discardMemory", { params: { id } }),
      ]);
    },
  },
  {
    name: "fork",
    words: "GUEST [--count N] [--name NAME] [--snapshot SNAPSHOT] [--network replug|down|up]\n" +
      "         [--no-start] [--no-wait]",
    summary: "Make more guests out of one as it is now, or as it was in a snapshot",
    async run(context, rest) {
      const { words: [guestWord, ...more], options } = parseRest(rest, {
        strings: ["count", "name", "snapshot", "network"],
        booleans: ["no-start", "no-wait"],
      });
      if (guestWord === undefined || more.length > 0) throw new UsageError("it takes GUEST");
      const guest = await find(context, guestWord);
      const count = wholeNumber(options.count, "count");
      const word = options.snapshot;
      const snapshot = word === undefined
        ? null
        : (await findSnapshot(context, guest, String(word))).id;
      const task = await context.api.client.call("forkGuest", {
        params: { id: guest.id },
        body: {
          ...(count !== undefined && { count }),
          ...(options.name !== undefined && { name: String(options.name) }),
          snapshot,
          start: options["no-start"] !== true,
          ...(options.network !== undefined && { network: networkOf(String(options.network)) }),
        },
      });
      await follow(context, task, { wait: options["no-wait"] !== true });
    },
  },
  {
    name: "tasks",
    words: "",
    summary: "List long work that is under way, and what ended lately",
    async run(context, rest) {
      words(rest);
      const tasks = await context.api.client.call("listTasks", {});
      await show(context, tasks, [
        ["TASK", "GUEST", "ABOUT", "STATE", "PROGRESS", "ID"],
        ...tasks.map((task) => [
          task.kind,
          task.guestName ?? "-",
          task.detail || "-",
          task.state,
          (task.state === "running" ? progressText(task) : task.error) || "-",
          task.id,
        ]),
      ]);
    },
  },
  {
    name: "cancel",
    words: "TASK",
    summary: "Give a task up, by its id",
    async run(context, rest) {
      const [id] = words(rest, "TASK");
      const task = await context.api.client.call("cancelTask", { params: { id } });
      await follow(context, task, { wait: false });
    },
  },
];
