/**
 * What the command line can do.
 *
 * @module
 */
import { basename } from "@std/path";
import { type Guest, type GuestCreate, IMAGE_KINDS, type ImageKind } from "../api/schemas.ts";
import type { UnixApi } from "../api/unix.ts";
import { mebibytes, parseRest, UsageError, wholeNumber } from "./arguments.ts";
import { fileStream } from "../images/file_stream.ts";
import { attachTerminal } from "./terminal.ts";
import { table } from "./table.ts";

export interface Context {
  api: UnixApi;
  /** Print what the API answered instead of a table. */
  json: boolean;
  out: (text: string) => Promise<void>;
}

interface Command {
  name: string;
  words: string;
  summary: string;
  run(context: Context, rest: string[]): Promise<void>;
}

const MIB = 1024 * 1024;

function words(rest: string[], ...names: string[]): string[] {
  const { words } = parseRest(rest, {});
  if (words.length !== names.length) throw new UsageError(`it takes ${names.join(" ")}`);
  return words;
}

/** The guest that a person means by its name or id. */
async function find({ api }: Context, word: string): Promise<Guest> {
  const guests = await api.client.call("listGuests", {});
  const guest = guests.find(({ id, name }) => name === word || id === word);
  if (guest === undefined) throw new UsageError(`there is no guest "${word}"`);
  return guest;
}

async function show(context: Context, value: unknown, rows: string[][]) {
  await context.out(context.json ? JSON.stringify(value, null, 2) + "\n" : table(rows));
}

async function showGuests(context: Context, guests: Guest[]) {
  await show(context, context.json && guests.length === 1 ? guests[0] : guests, [
    ["NAME", "STATE", "CPUS", "MEMORY", "DISK", "ID"],
    ...guests.map((guest) => [
      guest.name,
      guest.state,
      String(guest.cpus),
      `${guest.memoryMiB} MiB`,
      guest.diskMiB === null ? "-" : `${guest.diskMiB} MiB`,
      guest.id,
    ]),
  ]);
  if (context.json) return;
  for (const { name, error } of guests) {
    if (error !== null) await context.out(table([[`${name}: ${error}`]]));
  }
}

function imageKind(word: string): ImageKind {
  const kind = IMAGE_KINDS.find((kind) => kind === word);
  if (kind === undefined) throw new UsageError(`an image's kind is ${IMAGE_KINDS.join(", ")}`);
  return kind;
}

function createBody(rest: string[]): GuestCreate {
  const { words: [name, ...more], options } = parseRest(rest, {
    strings: ["cpus", "memory", "kernel", "initrd", "cmdline", "image", "disk"],
    booleans: ["no-network", "autostart"],
  });
  if (name === undefined || more.length > 0) throw new UsageError("it takes NAME and options");
  if (typeof options.kernel !== "string") throw new UsageError("--kernel is missing");
  const sizeMiB = mebibytes(options.disk, "disk") ?? null;
  const image = options.image === undefined ? null : String(options.image);
  return {
    name,
    kernel: options.kernel,
    cpus: wholeNumber(options.cpus, "cpus"),
    memoryMiB: mebibytes(options.memory, "memory"),
    initrd: options.initrd === undefined ? undefined : String(options.initrd),
    cmdline: options.cmdline === undefined ? undefined : String(options.cmdline),
    disk: image === null && sizeMiB === null ? null : { image, sizeMiB },
    network: !options["no-network"],
    autostart: options.autostart === true,
  };
}

export const COMMANDS: readonly Command[] = [
  {
    name: "host",
    words: "",
    summary: "Show the host",
    async run(context, rest) {
      words(rest);
      const host = await context.api.client.call("getHost", {});
      await show(context, host, Object.entries(host).map(([name, value]) => [name, String(value)]));
    },
  },
  {
    name: "guests",
    words: "",
    summary: "List the guests",
    async run(context, rest) {
      words(rest);
      await showGuests(context, await context.api.client.call("listGuests", {}));
    },
  },
  {
    name: "create",
    words: "NAME --kernel IMAGE [--initrd IMAGE] [--cmdline TEXT] [--image DISK] [--disk SIZE]\n" +
      "         [--memory SIZE] [--cpus N] [--no-network] [--autostart]",
    summary: "Create a guest",
    async run(context, rest) {
      const body = createBody(rest);
      await showGuests(context, [await context.api.client.call("createGuest", { body })]);
    },
  },
  {
    name: "start",
    words: "NAME",
    summary: "Start a guest",
    async run(context, rest) {
      const { id } = await find(context, words(rest, "NAME")[0]);
      const guest = await context.api.client.call("startGuest", { params: { id } });
      await showGuests(context, [guest]);
    },
  },
  {
    name: "stop",
    words: "NAME [--force]",
    summary: "Press a guest's power button, or end it at once",
    async run(context, rest) {
      const { words: [name, ...more], options } = parseRest(rest, { booleans: ["force"] });
      if (name === undefined || more.length > 0) throw new UsageError("it takes NAME");
      const { id } = await find(context, name);
      const body = { force: options.force === true };
      const guest = await context.api.client.call("stopGuest", { params: { id }, body });
      await showGuests(context, [guest]);
    },
  },
  {
    name: "reset",
    words: "NAME",
    summary: "End a guest at once and start it again",
    async run(context, rest) {
      const { id } = await find(context, words(rest, "NAME")[0]);
      const guest = await context.api.client.call("resetGuest", { params: { id } });
      await showGuests(context, [guest]);
    },
  },
  {
    name: "delete",
    words: "NAME",
    summary: "Delete a guest and its disk",
    async run(context, rest) {
      const { id } = await find(context, words(rest, "NAME")[0]);
      await context.api.client.call("deleteGuest", { params: { id } });
    },
  },
  {
    name: "console",
    words: "NAME",
    summary: "Open a guest's serial console; Ctrl-] leaves it",
    async run(context, rest) {
      const { id } = await find(context, words(rest, "NAME")[0]);
      await attachTerminal(context.api.connect("guestConsole", { id }));
    },
  },
  {
    name: "images",
    words: "",
    summary: "List the images",
    async run(context, rest) {
      words(rest);
      const images = await context.api.client.call("listImages", {});
      await show(context, images, [
        ["KIND", "NAME", "SIZE", "USED BY"],
        ...images.map((image) => [
          image.kind,
          image.name,
          `${Math.ceil(image.sizeBytes / MIB)} MiB`,
          image.usedBy.join(", ") || "-",
        ]),
      ]);
    },
  },
  {
    name: "upload",
    words: "KIND FILE [NAME]",
    summary: "Upload a kernel, initrd or disk image",
    async run(context, rest) {
      const { words: [kind, file, name, ...more] } = parseRest(rest, {});
      if (file === undefined || more.length > 0) throw new UsageError("it takes KIND FILE [NAME]");
      const image = { kind: imageKind(kind), name: name ?? basename(file) };
      const source = await Deno.open(file);
      const { size } = await source.stat();
      await context.api.client.upload(image, fileStream(source), { size });
    },
  },
  {
    name: "delete-image",
    words: "KIND NAME",
    summary: "Delete an image that no guest uses",
    async run(context, rest) {
      const [kind, name] = words(rest, "KIND", "NAME");
      await context.api.client.call("deleteImage", { params: { kind: imageKind(kind), name } });
    },
  },
  {
    name: "events",
    words: "",
    summary: "Print every change as a line of JSON",
    async run(context, rest) {
      words(rest);
      for await (const event of context.api.client.events()) {
        await context.out(JSON.stringify(event) + "\n");
      }
    },
  },
  {
    name: "stop-all",
    words: "[--limit SECONDS]",
    summary: "Stop every guest, as before the host's power-off",
    async run(context, rest) {
      const { options } = parseRest(rest, { strings: ["limit"] });
      const body = { limitSeconds: wholeNumber(options.limit, "limit") };
      for await (const step of context.api.client.lines("shutdownHost", { body })) {
        await context.out(
          context.json
            ? JSON.stringify(step) + "\n"
            : step.done
            ? "All guests have stopped\n"
            : `Waiting for ${step.running.join(", ")}\n`,
        );
      }
    },
  },
  {
    name: "reset-access",
    words: "",
    summary: "Forget the administrator's password; the host's screen shows a new set-up code",
    async run(context, rest) {
      words(rest);
      await context.api.client.call("resetAccess", {});
    },
  },
];

/** All commands, for a person. */
export function usage(): string {
  const lines = COMMANDS.map(({ name, words, summary }) =>
    `  ${name} ${words}`.trimEnd() + `\n      ${summary}`
  );
  return `Usage: denovisor [--socket PATH] [--json] COMMAND\n\n${lines.join("\n")}\n`;
}
