/**
 * What the command line can do.
 *
 * @module
 */
import { basename } from "@std/path";
import { type HostShutdownProgress, IMAGE_KINDS, type ImageKind } from "../api/schemas.ts";
import { hashPassword } from "../access/password.ts";
import { fileStream } from "../images/file_stream.ts";
import { parseRest, UsageError, wholeNumber } from "./arguments.ts";
import { type Command, show, words } from "./command.ts";
import { DEVICE_COMMANDS } from "./device_commands.ts";
import { GUEST_COMMANDS } from "./guest_commands.ts";
import { HOST_COMMAND } from "./host_commands.ts";
import { LIFE_COMMANDS } from "./life_commands.ts";
import { NETWORK_COMMAND } from "./network_commands.ts";
import { PEER_COMMANDS } from "./peer_commands.ts";
import { SPEC_HELP } from "./specs.ts";
import { SSH_COMMAND } from "./ssh_commands.ts";
import { STORAGE_COMMAND } from "./storage_commands.ts";
import { UPGRADE_COMMAND } from "./upgrade_command.ts";

const MIB = 1024 * 1024;

function imageKind(word: string): ImageKind {
  const kind = IMAGE_KINDS.find((kind) => kind === word);
  if (kind === undefined) throw new UsageError(`an image's kind is ${IMAGE_KINDS.join(", ")}`);
  return kind;
}

export const COMMANDS: readonly Command[] = [
  HOST_COMMAND,
  NETWORK_COMMAND,
  STORAGE_COMMAND,
  SSH_COMMAND,
  ...GUEST_COMMANDS,
  ...DEVICE_COMMANDS,
  ...LIFE_COMMANDS,
  ...PEER_COMMANDS,
  UPGRADE_COMMAND,
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
            : `Waiting for ${waitingFor(step)}\n`,
        );
      }
    },
  },
  {
    name: "hash-password",
    words: "",
    summary: "Read a password from the first line of input; print what denovisor.yaml takes of it",
    async run(context, rest) {
      words(rest);
      const [password] = (await new Response(Deno.stdin.readable).text()).split(/\r?\n/);
      if (password.length < 10) throw new UsageError("a password has at least 10 characters");
      await context.out(await hashPassword(password) + "\n");
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
  return `Usage: denovisor [--socket PATH] [--json] COMMAND\n\n${lines.join("\n")}\n\n${SPEC_HELP}`;
}

function waitingFor({ running, saving }: HostShutdownProgress): string {
  const far = new Map(saving.map(({ name, percent }) => [name, `${name} (${percent} % saved)`]));
  return running.map((name) => far.get(name) ?? name).join(", ");
}
