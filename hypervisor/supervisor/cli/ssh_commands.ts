/**
 * Commands for the host's own SSH.
 *
 * @module
 */
import { parsePublicKey } from "../api/public_key_parts.ts";
import type { HostSsh } from "../api/schemas.ts";
import { UsageError } from "./arguments.ts";
import { type Command, type Context, show, words } from "./command.ts";
import { table } from "./table.ts";

type Verb = (context: Context, rest: string[]) => Promise<void>;

const WORDS = "[show] | add FILE | rm FINGERPRINT | off";

async function tell(context: Context, ssh: HostSsh): Promise<void> {
  await show(context, ssh, [
    ["TYPE", "FINGERPRINT", "COMMENT"],
    ...ssh.keys.map(({ key, fingerprint }) => {
      const { type = "-", comment = "" } = parsePublicKey(key) ?? {};
      return [type, fingerprint, comment || "-"];
    }),
  ]);
  if (context.json) return;
  const notes = [
    ssh.isOn ? "SSH is on" : "SSH is off",
    ...(ssh.hostKey === null ? [] : [`The host's key: ${ssh.hostKey.fingerprint}`]),
    ...(ssh.problem === null ? [] : [ssh.problem]),
  ];
  for (const note of notes) await context.out(table([[note]]));
}

async function change(context: Context, keys: string[]): Promise<void> {
  await tell(context, await context.api.client.call("changeHostSsh", { body: { keys } }));
}

/** The keys of a file such as id_ed25519.pub or authorized_keys; comments and empty lines are none. */
function keysOf(text: string): string[] {
  return text.split(/\r?\n/).map((it) => it.trim()).filter((it) => it !== "" && it[0] !== "#");
}

const VERBS: Record<string, Verb> = {
  async show(context, rest) {
    words(rest);
    await tell(context, await context.api.client.call("getHostSsh", {}));
  },
  async add(context, rest) {
    const [file] = words(rest, "FILE");
    const added = keysOf(await Deno.readTextFile(file));
    if (added.length === 0) throw new UsageError(`there is no key in "${file}"`);
    const { keys } = await context.api.client.call("getHostSsh", {});
    await change(context, [...new Set([...keys.map(({ key }) => key), ...added])]);
  },
  async rm(context, rest) {
    const [word] = words(rest, "FINGERPRINT");
    const { keys } = await context.api.client.call("getHostSsh", {});
    const left = keys.filter(({ fingerprint }) => fingerprint !== word);
    if (left.length === keys.length) throw new UsageError(`there is no key "${word}"`);
    await change(context, left.map(({ key }) => key));
  },
  async off(context, rest) {
    words(rest);
    await change(context, []);
  },
};

export const SSH_COMMAND: Command = {
  name: "ssh",
  words: WORDS,
  summary: "The keys that may log in to the host by SSH; without any, SSH is off",
  async run(context, [verb = "show", ...rest]) {
    const act = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
    if (act === undefined) throw new UsageError(`it takes ${WORDS}`);
    await act(context, rest);
  },
};
