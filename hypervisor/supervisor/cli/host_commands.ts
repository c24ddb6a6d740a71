/**
 * Commands for the host: its facts, its log, and what crashed.
 *
 * @module
 */
import {
  AT_SHUTDOWN,
  type HostStore,
  LOG_LEVELS,
  type LogBatch,
  type LogQuery,
  type LogRecord,
  MOST_LOG_RECORDS,
} from "../api/schemas.ts";
import { parseRest, UsageError, wholeNumber } from "./arguments.ts";
import { type Command, type Context, show, words } from "./command.ts";
import { showDisks } from "./storage_commands.ts";
import { printable } from "./table.ts";
import { restart, update, UPDATE_WORDS } from "./update_commands.ts";

type Verb = (context: Context, rest: string[]) => Promise<void>;

const LOG_WORDS = "[-f] [--level LEVEL] [--room ROOM] [--limit N]";
const CRASH_WORDS = "[ls] | show ID | rm ID";
const WORDS = `[show] | update ${UPDATE_WORDS} | restart [--guests save|shutdown]
         | at-shutdown save|shutdown | disks | log ${LOG_WORDS}
         | crashes ${CRASH_WORDS} | support-bundle [FILE]`;

/** A record as a line of a terminal. */
function line({ time, level, room, message, fields }: LogRecord): string {
  const list = Object.entries(fields).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  const when = time.replace("T", " ").slice(0, 19);
  return printable(`${when} ${level.padEnd(7)} ${room}: ${message}${list.join("")}`) + "\n";
}

async function tell({ json, out }: Context, records: readonly LogRecord[]): Promise<void> {
  for (const it of records) await out(json ? JSON.stringify(it) + "\n" : line(it));
}

async function log(context: Context, rest: string[]): Promise<void> {
  const { words: more, options } = parseRest(rest, {
    strings: ["level", "room", "limit"],
    booleans: ["f", "follow"],
  });
  if (more.length > 0) throw new UsageError(`it takes ${LOG_WORDS}`);
  const level = LOG_LEVELS.find((it) => it === options.level);
  if (options.level !== undefined && level === undefined) {
    throw new UsageError(`--level must be one of ${LOG_LEVELS.join(", ")}`);
  }
  const limit = wholeNumber(options.limit, "limit");
  if (limit !== undefined && (limit < 1 || limit > MOST_LOG_RECORDS)) {
    throw new UsageError(`--limit must be from 1 to ${MOST_LOG_RECORDS}`);
  }
  const { client } = context.api;
  const query: LogQuery = { level, room: options.room as string | undefined };
  const { records, last } = await client.call("getLog", { query: { ...query, limit } });
  await tell(context, records);
  if (!options.f && !options.follow) return;
  for await (const { data } of client.logEvents({ query: { ...query, after: last } })) {
    const batch = data as LogBatch;
    if (batch.missed > 0) await context.out(`${batch.missed} records were too fast to be told\n`);
    await tell(context, batch.records);
  }
}

async function crashes(context: Context, [verb = "ls", ...rest]: string[]): Promise<void> {
  const { client } = context.api;
  if (verb === "ls") {
    words(rest);
    const list = await client.call("listCrashes", {});
    await show(context, list, [
      ["TIME", "WHAT", "TITLE", "ID"],
      ...list.map((
        { time, guest, title, id },
      ) => [time.slice(0, 19), guest ?? "kernel", title, id]),
    ]);
  } else if (verb === "show") {
    const [id] = words(rest, "ID");
    const crash = await client.call("getCrash", { params: { id } });
    if (context.json) await context.out(JSON.stringify(crash, null, 2) + "\n");
    else for (const it of crash.text.split("\n")) await context.out(printable(it) + "\n");
  } else if (verb === "rm") {
    const [id] = words(rest, "ID");
    await client.call("deleteCrash", { params: { id } });
  } else throw new UsageError(`it takes ${CRASH_WORDS}`);
}

function storeText({ name, directory, problem, freeMiB, sizeMiB }: HostStore): string {
  const how = problem === null ? `${freeMiB} of ${sizeMiB} MiB free` : `cannot be used: ${problem}`;
  return `${name} at ${directory}, ${how}`;
}

const VERBS: Record<string, Verb> = {
  async show(context, rest) {
    words(rest);
    const host = await context.api.client.call("getHost", {});
    const { stores, ...facts } = host;
    await show(context, host, [
      ...Object.entries(facts).map(([name, value]) => [name, String(value)]),
      ...stores.map((store) => ["store", storeText(store)]),
    ]);
  },
  async "at-shutdown"(context, rest) {
    const [given] = words(rest, "save|shutdown");
    const atShutdown = AT_SHUTDOWN.find((it) => it === given);
    if (atShutdown === undefined) throw new UsageError("it takes save or shutdown");
    const host = await context.api.client.call("changeHost", { body: { atShutdown } });
    await show(context, host, [["atShutdown", host.atShutdown]]);
  },
  async disks(context, rest) {
    words(rest);
    await showDisks(context, await context.api.client.call("listHostDisks", {}));
  },
  update,
  restart,
  log,
  crashes,
  async "support-bundle"(context, rest) {
    const { words: [given, ...more] } = parseRest(rest, {});
    if (more.length > 0) throw new UsageError("it takes [FILE]");
    const { name, body } = await context.api.client.download("getSupportBundle");
    const path = given ?? name;
    const file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
    await body.pipeTo(file.writable);
    await context.out(context.json ? JSON.stringify({ path }) + "\n" : `${path}\n`);
  },
};

export const HOST_COMMAND: Command = {
  name: "host",
  words: WORDS,
  summary:
    "Show the host; update and restart it; its disks; its log, and with -f what comes; what crashed; an archive for who helps",
  async run(context, [verb = "show", ...rest]) {
    const act = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
    if (act === undefined) throw new UsageError(`it takes ${WORDS}`);
    await act(context, rest);
  },
};
