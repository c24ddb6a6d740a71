/**
 * What a guest's agent answers, checked: it is the guest that speaks, so it may be anything.
 *
 * @module
 */
import * as z from "zod";

/** No answer that is wanted here is longer, in bytes. */
export const MAX_REPLY_BYTES = 256 * 1024;
const MOST_COMMANDS = 1024;
const MOST_INTERFACES = 64;
const MOST_ADDRESSES = 64;
const LONGEST_NAME = 100;

/** Text of a guest's for a person: of one line, without what moves a cursor, and not too long. */
const Text = z.string().transform((text) =>
  text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, " ").trim().slice(0, LONGEST_NAME)
);

const Reply = z.union([
  z.object({ return: z.unknown() }),
  z.object({ error: z.object({ desc: Text.optional() }) }),
]);

export const AgentInfo = z.object({
  version: Text,
  supported_commands: z.array(z.object({ name: z.string(), enabled: z.boolean() }))
    .transform((all) =>
      all.slice(0, MOST_COMMANDS).filter(({ enabled }) => enabled).map(({ name }) => name)
    ),
});

/** Some agents have only the one name, some only the other. */
export const AgentOs = z.object({
  "pretty-name": Text.optional(),
  name: Text.optional(),
}).transform((os) => os["pretty-name"] || os.name || null);

const Interface = z.object({
  name: Text,
  "ip-addresses": z.array(z.object({ "ip-address": z.string() })).optional(),
});
export const AgentInterfaces = z.array(z.unknown()).transform((all) =>
  // One that makes no sense takes nothing from the others.
  all.slice(0, MOST_INTERFACES).flatMap((value) => {
    const { success, data } = Interface.safeParse(value);
    return success ? [data] : [];
  })
);

/** How many file systems there are now that are frozen, or were thawed. */
export const AgentCount = z.number().transform((count) =>
  Number.isSafeInteger(count) && count >= 0 ? count : 0
);

export const AgentFreezeStatus = z.enum(["thawed", "frozen"]);

/** The addresses by which a guest may be reached: neither its own nor those of one link. */
export function addressesOf(interfaces: z.output<typeof AgentInterfaces>): string[] {
  const all = interfaces.flatMap((it) =>
    (it["ip-addresses"] ?? []).slice(0, MOST_ADDRESSES).map((address) => address["ip-address"])
  );
  return [...new Set(all)].filter(isReachable).slice(0, MOST_ADDRESSES);
}

const PART = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^${PART}(\\.${PART}){3}$`);

function isReachable(address: string): boolean {
  if (IPV4.test(address)) return !/^(127|0|169\.254)\./.test(address);
  if (!/^[0-9a-f:]{2,39}$/i.test(address) || !URL.canParse(`http://[${address}]/`)) return false;
  return !/^(::1?$|fe[89ab])/i.test(address);
}

/** What an agent says that it cannot do. */
export class AgentRefusal extends Error {
  override readonly name = "AgentRefusal";
}

/** The value that a line answers with; throws what the agent refuses, or a SyntaxError. */
export function parseReply<T>(schema: z.ZodType<T>, line: string, command: string): T {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new SyntaxError(`Cannot read the agent's answer to "${command}": it is not JSON`);
  }
  const reply = Reply.safeParse(value);
  if (!reply.success) {
    throw new SyntaxError(`Cannot read the agent's answer to "${command}": it is none`);
  }
  if ("error" in reply.data) {
    const { desc = "it does not say why" } = reply.data.error;
    throw new AgentRefusal(`Cannot have the guest's agent do "${command}": ${desc}`);
  }
  const result = schema.safeParse(reply.data.return);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new SyntaxError(
      `Cannot read the agent's answer to "${command}": ${
        issue.path.join(".") || "it"
      }: ${issue.message}`,
    );
  }
  return result.data;
}
