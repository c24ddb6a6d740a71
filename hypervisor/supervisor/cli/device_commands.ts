/**
 * Commands for guests' disks and network cards.
 *
 * @module
 */
import { whyNotPlug } from "../api/actions.ts";
import type { Disk, Guest, Net, RateLimit } from "../api/schemas.ts";
import { parseRest, UsageError } from "./arguments.ts";
import { type Command, type Context, find, show, words } from "./command.ts";
import { diskChange, diskSpec, netChange, netSpec } from "./specs.ts";

const STANDING = {
  boot: "in use",
  port: "plugged in",
  leaving: "being unplugged",
  none: "-",
} as const;

function standing(device: Disk | Net): string {
  const text = STANDING[device.attached ?? "none"];
  return device.restartNeeded ? `${text}, changes at the next start` : text;
}

function limitText(limit: RateLimit | null): string {
  const { operationsPerSecond, bytesPerSecond } = limit ?? {};
  const parts = [
    operationsPerSecond && `${operationsPerSecond}/s`,
    bytesPerSecond && `${bytesPerSecond} B/s`,
  ].filter(Boolean);
  return parts.join(" ") || "-";
}

async function showDisks(context: Context, { disks }: Guest) {
  await show(context, disks, [
    ["NAME", "SIZE", "STORE", "IMAGE", "CACHE", "LIMIT", "WRITABLE", "GUEST"],
    ...disks.map((disk) => [
      disk.name,
      `${disk.sizeMiB} MiB`,
      disk.store ?? "-",
      disk.image ?? "-",
      disk.writeCache ? disk.cache : `${disk.cache}, no write cache`,
      limitText(disk.rateLimit),
      disk.readonly ? "no" : "yes",
      standing(disk),
    ]),
  ]);
}

async function showNets(context: Context, { nets }: Guest) {
  await show(context, nets, [
    ["CARD", "MAC", "BRIDGE", "LINK", "MTU", "RECEIVES", "SENDS", "GUEST"],
    ...nets.map((net, i) => [
      String(i + 1),
      net.mac,
      net.bridge ?? "-",
      net.linkUp ? "up" : "down",
      net.mtu === null ? "-" : String(net.mtu),
      limitText(net.receiveLimit),
      limitText(net.sendLimit),
      standing(net),
    ]),
  ]);
}

/** A disk by its name or id. */
function findDisk({ name, disks }: Guest, word: string): Disk {
  const disk = disks.find((it) => it.name === word || it.id === word);
  if (disk === undefined) throw new UsageError(`${name} has no disk "${word}"`);
  return disk;
}

/** A card by its address, its id or its number, from 1. */
function findNet({ name, nets }: Guest, word: string): Net {
  const net = nets.find((it, i) =>
    it.mac === word.toLowerCase() || it.id === word || String(i + 1) === word
  );
  if (net === undefined) throw new UsageError(`${name} has no network card "${word}"`);
  return net;
}

/** Words and whether `--force` or `--no-plug` is among them. */
function wordsAnd(rest: string[], flag: string, ...names: string[]): [string[], boolean] {
  const { words, options } = parseRest(rest, { booleans: [flag] });
  if (words.length !== names.length) throw new UsageError(`it takes ${names.join(" ")}`);
  return [words, options[flag] === true];
}

/** Commands that are the same for disks and cards, but for what they are called. */
function commandsFor(kind: "disk" | "net", word: "DISK" | "CARD"): Command[] {
  const isDisk = kind === "disk";
  const noun = isDisk ? "disk" : "network card";
  const operation = <V extends string>(verb: V) => `${verb}${isDisk ? "Disk" : "Net"}` as const;
  const tell = (context: Context, guest: Guest) =>
    isDisk ? showDisks(context, guest) : showNets(context, guest);
  const device = async (context: Context, [guestWord, deviceWord]: string[]) => {
    const guest = await find(context, guestWord);
    const found = isDisk ? findDisk(guest, deviceWord) : findNet(guest, deviceWord);
    return { id: guest.id, disk: found.id, net: found.id };
  };
  return [
    {
      name: `${kind}s`,
      words: "NAME",
      summary: `List a guest's ${noun}s`,
      async run(context, rest) {
        await tell(context, await find(context, words(rest, "NAME")[0]));
      },
    },
    {
      name: `add-${kind}`,
      words: `NAME ${word} [--no-plug]`,
      summary: `Give a guest another ${noun}, and plug it in if the guest runs and has a free port`,
      async run(context, rest) {
        const [[name, spec], isKept] = wordsAnd(rest, "no-plug", "NAME", word);
        const { id, disks, nets } = await find(context, name);
        const { client } = context.api;
        const params = { id };
        let guest = isDisk
          ? await client.call("addDisk", { params, body: diskSpec(spec) })
          : await client.call("addNet", { params, body: netSpec(spec) });
        const known = new Set([...disks, ...nets].map((it) => it.id));
        const added = [...guest.disks, ...guest.nets].find((it) => !known.has(it.id))!;
        if (!isKept && whyNotPlug(guest, added) === null) {
          const params = { id, disk: added.id, net: added.id };
          guest = await client.call(operation("plug"), { params });
        }
        await tell(context, guest);
      },
    },
    {
      name: `change-${kind}`,
      words: `NAME ${isDisk ? "DISK-NAME" : "CARD-NUMBER|MAC"} ${word}`,
      summary: isDisk
        ? "Change a disk: size and limits at once, the rest when its guest starts next"
        : "Change a network card: link and limits at once, the rest when its guest starts next",
      async run(context, rest) {
        const [name, which, spec] = words(rest, "NAME", word, "OPTIONS");
        const params = await device(context, [name, which]);
        const { client } = context.api;
        await tell(
          context,
          isDisk
            ? await client.call("updateDisk", { params, body: diskChange(spec) })
            : await client.call("updateNet", { params, body: netChange(spec) }),
        );
      },
    },
    ...(["plug", "delete"] as const).map((verb): Command => ({
      name: `${verb}-${kind}`,
      words: `NAME ${isDisk ? "DISK-NAME" : "CARD-NUMBER|MAC"}`,
      summary: verb === "plug"
        ? `Plug a ${noun} into its running guest`
        : `Delete a ${noun} that no running guest uses`,
      async run(context, rest) {
        const params = await device(context, words(rest, "NAME", word));
        await tell(context, await context.api.client.call(operation(verb), { params }));
      },
    })),
    {
      name: `unplug-${kind}`,
      words: `NAME ${isDisk ? "DISK-NAME" : "CARD-NUMBER|MAC"} [--force]`,
      summary: `Ask the running guest to let go of a ${noun}, or pull it out`,
      async run(context, rest) {
        const [which, force] = wordsAnd(rest, "force", "NAME", word);
        const params = await device(context, which);
        const guest = await context.api.client.call(operation("unplug"), {
          params,
          body: { force },
        });
        await tell(context, guest);
      },
    },
  ];
}

export const DEVICE_COMMANDS: readonly Command[] = [
  ...commandsFor("disk", "DISK"),
  ...commandsFor("net", "CARD"),
];
