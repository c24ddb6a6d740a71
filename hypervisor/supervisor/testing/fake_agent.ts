/**
 * An agent of a guest that is none, at the end of its port.
 *
 * @module
 */

/** What it answers, by command; a function for what comes and goes. */
export type FakeAnswers = Record<string, unknown>;

const OS = { "pretty-name": "Debian GNU/Linux 13 (trixie)", name: "Debian GNU/Linux" };
const address = (text: string) => ({
  "ip-address": text,
  "ip-address-type": text.includes(":") ? "ipv6" : "ipv4",
  prefix: 24,
});

export const ANSWERS: FakeAnswers = {
  "guest-info": {
    version: "9.2.0",
    supported_commands: [
      { name: "guest-ping", enabled: true, "success-response": true },
      { name: "guest-exec", enabled: false, "success-response": true },
    ],
  },
  "guest-get-osinfo": OS,
  "guest-network-get-interfaces": [
    { name: "lo", "ip-addresses": [address("127.0.0.1"), address("::1")] },
    {
      name: "ens2",
      "hardware-address": "52:54:00:00:00:01",
      "ip-addresses": [address("192.168.1.77"), address("fe80::1"), address("2001:db8::7")],
    },
    { name: "ens3" },
  ],
  "guest-fsfreeze-freeze": 2,
  "guest-fsfreeze-thaw": 2,
};

/** What an agent still does while file systems are frozen, which its own files are on. */
const WHILE_FROZEN = [
  "guest-sync-delimited",
  "guest-info",
  "guest-fsfreeze-status",
  "guest-fsfreeze-thaw",
];

export interface FakeAgent {
  /** Commands that it was given, in order. */
  commands: string[];
  /** Whether the guest's file systems are frozen. */
  isFrozen: boolean;
  close(): void;
}

/** Listens at `path`, for one conversation at a time, as a guest's port does. */
export function serveFakeAgent(
  path: string,
  answers: FakeAnswers = ANSWERS,
  { isFrozen = false } = {},
): FakeAgent {
  const listener = Deno.listen({ transport: "unix", path });
  const commands: string[] = [];
  const agent: FakeAgent = { commands, isFrozen, close: () => listener.close() };
  const reply = (line: string): Uint8Array<ArrayBuffer> => {
    // The delimiter, which resets what was half read.
    const { execute, arguments: given } = JSON.parse(line.replaceAll("\uFFFD", ""));
    commands.push(execute);
    const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value) + "\n");
    if (execute === "guest-sync-delimited") {
      return new Uint8Array([0xFF, ...encode({ return: given.id })]);
    }
    const refuse = (why: string) =>
      encode({ error: { class: "CommandNotFound", desc: `The command ${execute} has ${why}` } });
    if (agent.isFrozen && !WHILE_FROZEN.includes(execute)) {
      return refuse("been disabled: the agent is in frozen state");
    }
    if (execute === "guest-shutdown") return new Uint8Array();
    const isOwn = Object.hasOwn(answers, execute);
    const canFreeze = Object.hasOwn(answers, "guest-fsfreeze-freeze");
    if (execute === "guest-fsfreeze-status" && canFreeze && !isOwn) {
      return encode({ return: agent.isFrozen ? "frozen" : "thawed" });
    }
    if (!isOwn) return refuse("not been found");
    if (execute === "guest-fsfreeze-freeze") agent.isFrozen = true;
    if (execute === "guest-fsfreeze-thaw") agent.isFrozen = false;
    return encode({ return: answers[execute] });
  };
  (async () => {
    for await (const connection of listener) {
      const bytes = new Uint8Array(4096);
      let text = "";
      const decoder = new TextDecoder();
      while (true) {
        const count = await connection.read(bytes).catch(() => null);
        if (count === null) break;
        text += decoder.decode(bytes.subarray(0, count), { stream: true });
        const lines = text.split("\n");
        text = lines.pop()!;
        for (const line of lines) await connection.write(reply(line)).catch(() => {});
      }
      connection.close();
    }
  })().catch(() => {});
  return agent;
}
