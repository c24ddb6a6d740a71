/**
 * Commands for the host's updates, and its restart.
 *
 * @module
 */
import {
  AT_SHUTDOWN,
  type HostUpdateView,
  MOST_SIGNATURE_BYTES,
  type UpdateJob,
} from "../api/schemas.ts";
import { fileStream } from "../images/file_stream.ts";
import { parseRest, UsageError } from "./arguments.ts";
import { type Context, show, words } from "./command.ts";

export const UPDATE_WORDS = "FILE|URL | status | undo | cancel";
const LOOK_MS = 500;

const PHASES: Record<UpdateJob["phase"], string> = {
  staging: "taking it in",
  verifying: "checking its signature",
  writing: "writing it",
  ready: "ready",
};

/** How an update goes, in one line; null where none does, or did. */
function jobText({ job, pull }: HostUpdateView): string | null {
  if (pull !== null && pull.error !== null) return `failed: ${pull.error}`;
  if (job === null) return pull === null || pull.isOver ? null : "fetching its signature";
  if (job.error !== null) return `failed: ${job.error}`;
  if (job.isOver) return "done";
  const percent = job.total === 0 ? 0 : Math.floor(100 * job.bytes / job.total);
  return `${PHASES[job.phase]}, ${percent} %`;
}

function lastText({ last }: HostUpdateView): string | null {
  if (last === null) return null;
  const { from, to, outcome, why, at } = last;
  const what = outcome === "kept"
    ? `${to} was kept`
    : outcome === "undone"
    ? `went from ${from} back to ${to}`
    : `${to} fell back to ${from}`;
  return `${what}${why === null ? "" : `: ${why}`} (${at})`;
}

function showUpdate(context: Context, told: HostUpdateView): Promise<void> {
  const { running, systems, trial, ready, undo, whyNot } = told;
  const rows: [string, string | null][] = [
    ["runs", `${running.version}${running.system === null ? "" : ` (${running.system})`}`],
    ...Object.entries(systems).map(([name, it]): [string, string | null] => [
      `system ${name}`,
      it === null ? null : it.version,
    ]),
    ["on trial", trial && `${trial.secondsLeft} s left, waits for ${trial.waitsFor}`],
    ["next restart", ready && `tries ${ready.version} (${ready.system})`],
    ["undo leads to", undo && `${undo.version} (${undo.system})`],
    ["last update", lastText(told)],
    ["under way", jobText(told)],
    ["cannot be updated", whyNot],
  ];
  return show(context, told, rows.filter((row): row is [string, string] => row[1] !== null));
}

async function fromFile(context: Context, path: string): Promise<HostUpdateView> {
  const signed = await Deno.open(`${path}.sig`);
  const bytes = new Uint8Array(MOST_SIGNATURE_BYTES + 1);
  const count = await signed.read(bytes).finally(() => signed.close()) ?? 0;
  if (count === 0 || count > MOST_SIGNATURE_BYTES) {
    throw new UsageError(`"${path}.sig" is no signature: it has ${count} bytes`);
  }
  const signature = new TextDecoder().decode(bytes.subarray(0, count));
  const file = await Deno.open(path);
  const { size } = await file.stat();
  return await context.api.client.uploadUpdate(fileStream(file), { signature, size });
}

async function fromNet(context: Context, url: string): Promise<HostUpdateView> {
  const { client } = context.api;
  await client.call("pullUpdate", { body: { url } });
  for (let said = "";;) {
    const told = await client.call("getUpdate", {});
    const text = jobText(told) ?? "";
    if (told.pull === null || told.pull.url !== url) throw new Error("It is no longer under way");
    if (told.pull.isOver) {
      if (told.pull.error === null) return told;
      throw new Error(told.pull.error);
    }
    if (text !== said && !context.json) await context.out(`${text}\n`);
    said = text;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** `host update ...` */
export async function update(context: Context, rest: string[]): Promise<void> {
  const [what] = words(rest, UPDATE_WORDS);
  const { client } = context.api;
  if (what === "status") return await showUpdate(context, await client.call("getUpdate", {}));
  if (what === "undo") return await showUpdate(context, await client.call("undoUpdate", {}));
  if (what === "cancel") {
    const { job, pull } = await client.call("getUpdate", {});
    const isUnderWay = (job !== null && !job.isOver) || (pull !== null && !pull.isOver);
    // What is ready is what is left to be given up.
    const operation = isUnderWay ? "cancelUpdate" : "takeUpdateBack";
    return await showUpdate(context, await client.call(operation, {}));
  }
  const isUrl = /^[a-z]+:\/\//i.test(what);
  await showUpdate(context, await (isUrl ? fromNet : fromFile)(context, what));
}

/** `host restart ...` */
export async function restart(context: Context, rest: string[]): Promise<void> {
  const { words: more, options } = parseRest(rest, { strings: ["guests"] });
  const guests = AT_SHUTDOWN.find((it) => it === options.guests);
  if (more.length > 0 || (options.guests !== undefined && guests === undefined)) {
    throw new UsageError("it takes [--guests save|shutdown]");
  }
  await context.api.client.call("restartHost", { body: { guests } });
  if (!context.json) await context.out("The host restarts\n");
}
