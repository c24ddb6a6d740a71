/**
 * Commands for the host's disks and its pool.
 *
 * @module
 */
import type { DiskTarget, HostStorage, StorageDisk } from "../api/schemas.ts";
import { parseRest, UsageError } from "./arguments.ts";
import { type Command, type Context, show, words } from "./command.ts";
import { table } from "./table.ts";
import { follow } from "./task_progress.ts";

const GIB = 2 ** 30;
const WORDS =
  "[show] | mirror DISK --confirm SERIAL | unmirror DISK|missing [--confirm SERIAL] | " +
  "scrub [stop|monthly|off] | install DISK --confirm SERIAL [--no-wait]";

const size = (bytes: number) =>
  bytes >= GIB ? `${(bytes / GIB).toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;

/** The disks with what is on them, in a table. */
export async function showDisks(context: Context, disks: StorageDisk[]): Promise<void> {
  await show(context, disks, [
    ["DISK", "SIZE", "BUS", "MODEL", "SERIAL", "USE", "HEALTH", "WHAT IS ON IT"],
    ...disks.flatMap((disk) => [
      [
        disk.name,
        size(disk.bytes),
        disk.bus,
        disk.model ?? "-",
        disk.confirm,
        [disk.isBoot && "boot", disk.isData && "data"].filter(Boolean).join("+") || "-",
        disk.smart === null ? "-" : disk.smart.warnings.join("; ") || "good",
        disk.isBlank ? "nothing" : disk.content ?? "-",
      ],
      ...disk.partitions.map((it) => [
        ` ${it.number}`,
        size(it.bytes),
        ...["", it.name, "", it.use ?? ""],
        "",
        it.content ?? "-",
      ]),
    ]),
  ]);
}

async function tell(context: Context, storage: HostStorage): Promise<void> {
  const { pool, alarms } = storage;
  const { scrub, sync } = pool;
  await show(context, storage, [
    ["POOL", { none: "in memory", plain: "on one disk", mirror: "md" }[pool.kind]],
    ["SIZE", size(pool.bytes)],
    ...pool.members.map((it) => ["DISK", `${it.disk ?? "-"}: ${it.state}`]),
    ...(sync === null ? [] : [[
      sync.kind.toUpperCase(),
      `${size(sync.doneBytes)} of ${size(sync.totalBytes)}`,
    ]]),
    ["SCRUB", `${scrub.schedule}, next ${scrub.nextAt ?? "-"}`],
    ...(scrub.last === null
      ? []
      : [["LAST", `${scrub.last.at}: ${scrub.last.mismatchedSectors} sectors differed`]]),
  ]);
  if (context.json) return;
  for (const alarm of alarms) await context.out(table([[alarm]]));
}

/** The disk that a person means, once they have said its serial number too. */
async function target({ api }: Context, rest: string[]): Promise<DiskTarget & { wait: boolean }> {
  const { words: [name, ...more], options } = parseRest(rest, {
    ...{ strings: ["confirm"], booleans: ["no-wait"] },
  });
  if (name === undefined || more.length > 0) throw new UsageError("it takes DISK --confirm SERIAL");
  const disks = await api.client.call("listHostDisks", {});
  const disk = disks.find((it) => it.name === name || it.confirm === name);
  if (!disk) throw new UsageError(`there is no disk "${name}"`);
  if (options.confirm !== disk.confirm) {
    const lost = disk.partitions.map(({ content, name }) => content ?? name).filter(Boolean);
    throw new UsageError(
      `all that is on ${disk.name} would be lost (${
        [...lost, disk.content].filter(Boolean).join(", ") || "nothing that is known"
      }); to do it, say --confirm ${disk.confirm}`,
    );
  }
  const { confirm, revision } = disk;
  return { disk: disk.name, confirm, revision, wait: options["no-wait"] !== true };
}

type Verb = (context: Context, rest: string[]) => Promise<void>;

const VERBS: Record<string, Verb> = {
  async show(context, rest) {
    words(rest);
    await tell(context, await context.api.client.call("getStorage", {}));
  },
  async mirror(context, rest) {
    const { wait: _, ...body } = await target(context, rest);
    await tell(context, await context.api.client.call("mirrorStorage", { body }));
  },
  async unmirror(context, rest) {
    const { words: [name, ...more], options } = parseRest(rest, { strings: ["confirm"] });
    if (name === undefined || more.length > 0) throw new UsageError("it takes DISK or missing");
    const body = name === "missing"
      ? { disk: null, confirm: null }
      : { disk: name, confirm: options.confirm === undefined ? null : String(options.confirm) };
    await tell(context, await context.api.client.call("unmirrorStorage", { body }));
  },
  async scrub(context, rest) {
    const { words: [what, ...more] } = parseRest(rest, {});
    const { client } = context.api;
    if (more.length > 0) throw new UsageError("it takes stop, monthly, off or nothing");
    switch (what) {
      case undefined:
        return await tell(context, await client.call("beginScrub", {}));
      case "stop":
        return await tell(context, await client.call("endScrub", {}));
      case "monthly":
      case "off":
        return await tell(context, await client.call("changeStorage", { body: { scrub: what } }));
    }
    throw new UsageError("it takes stop, monthly, off or nothing");
  },
  async install(context, rest) {
    const { wait, ...body } = await target(context, rest);
    await follow(context, await context.api.client.call("installHost", { body }), { wait });
  },
};

export const STORAGE_COMMAND: Command = {
  name: "storage",
  words: WORDS,
  summary: "The disks that the host's data are on; what is erased has to be confirmed",
  async run(context, [verb = "show", ...rest]) {
    const act = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
    if (act === undefined) throw new UsageError(`it takes ${WORDS}`);
    await act(context, rest);
  },
};
