/**
 * What a VMM says, checked: its answers and events on the control socket, and the files beside it
 * that tell a restarted supervisor what an earlier one began.
 *
 * @module
 */
import * as z from "zod";
import { EXIT_CODES, type ExitReason, type ReceivingPhase } from "../../vmm/control.ts";

const REASONS = Object.keys(EXIT_CODES) as [ExitReason, ...ExitReason[]];
const STATES = ["running", "stopping"] as const;
const PHASES = [
  ...["listening", "greeting", "receiving", "building", "ready", "undecided", "taken"] as const,
] satisfies ReceivingPhase[];

/** Longer messages are cut: they end up in errors for people. */
const Message = z.string().transform((text) => text.slice(0, 4096));

// Not strict: a VMM that runs on while the supervisor is updated may be the older or the newer one.
const StatusMessage = z.object({
  version: z.int(),
  pid: z.int().min(1),
  name: z.string(),
  state: z.enum([...STATES, "waiting"]),
  startedAt: z.number(),
  cpus: z.int(),
  memoryMiB: z.int(),
  pausedFor: Message.optional(),
  held: z.literal(true).optional(),
  /** Absent from a VMM of before there were upgrades. */
  program: z.string().max(100).default(""),
  speaks: z.object({ protocol: z.int(), format: z.int() }).optional(),
  receiving: z.object({ phase: z.enum(PHASES), handOver: z.string().optional() }).optional(),
});

export const ResponseMessage = z.union([
  z.object({ ok: z.literal(true), status: StatusMessage }),
  z.object({
    ok: z.literal(true),
    devices: z.record(z.string(), z.record(z.string(), z.unknown())),
  }),
  z.object({ ok: z.literal(true), plugged: z.string() }),
  z.object({ ok: z.literal(false), error: Message }),
]);

export const EventMessage = z.discriminatedUnion("event", [
  z.object({ event: z.literal("state"), state: z.enum(STATES) }),
  z.object({ event: z.literal("paused"), reason: Message }),
  z.object({ event: z.literal("resumed") }),
  z.object({ event: z.literal("unplugged"), device: z.string() }),
  z.object({ event: z.literal("exit"), reason: z.enum(REASONS), message: Message }),
]);

const count = z.number().min(0);

/** What follows the answer to `save`. */
export const SaveLine = z.union([
  z.object({
    saving: z.object({
      phase: z.enum(["copying", "settling", "syncing"]),
      doneBytes: count,
      totalBytes: count,
      rounds: count,
      remainingBytes: count,
    }),
  }),
  z.object({ ready: z.literal(true) }),
  z.object({ held: z.literal(true) }),
  z.object({ saved: z.string(), pauseMs: count, bytes: count }),
  z.object({ error: Message }),
]);

/** What follows the answer to `fork`. */
export const ForkLine = z.union([
  z.object({ held: z.literal(true) }),
  z.object({ forked: z.object({ pausedMs: count, copiedBytes: count }) }),
  z.object({ error: Message }),
]);

/** What follows the response to `upgrade`. */
export const UpgradeMessage = z.union([
  z.object({
    upgrading: z.object({ phase: z.string(), doneBytes: count, totalBytes: count }),
  }),
  z.object({ upgraded: z.string(), pauseMs: count }),
  z.object({ error: Message }),
]);

/** `exit.json`: what the VMM wrote just before it exited. */
export const ExitFile = z.object({ reason: z.enum(REASONS), message: Message });
export type ExitFile = z.output<typeof ExitFile>;

/** `handed_over.json`: what the VMM wrote before it gave its guest away. */
export const HandedOverFile = z.object({ handOver: z.string().regex(/^[0-9a-f]{32}$/) });
export type HandedOverFile = z.output<typeof HandedOverFile>;

/** `process.json`: what the supervisor wrote right after it started the VMM. */
export const ProcessFile = z.strictObject({
  pid: z.int().min(1),
  startTime: z.int().min(0),
});
export type ProcessFile = z.output<typeof ProcessFile>;

/** A value out of JSON text; throws a SyntaxError that names `what` where it is not one. */
export function parseMessage<T>(schema: z.ZodType<T>, text: string, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SyntaxError(`Cannot read ${what}: it is not JSON`);
  }
  const result = schema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new SyntaxError(`Cannot read ${what}: ${issue.path.join(".") || "it"}: ${issue.message}`);
  }
  return result.data;
}

/** Like {@linkcode parseMessage} for a file; null where it is missing or not whole. */
export function readMessage<T>(schema: z.ZodType<T>, path: string): T | null {
  try {
    return parseMessage(schema, Deno.readTextFileSync(path), path);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
