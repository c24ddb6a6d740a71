/**
 * What the commands share.
 *
 * @module
 */
import type { Guest } from "../api/schemas.ts";
import type { UnixApi } from "../api/unix.ts";
import { parseRest, UsageError } from "./arguments.ts";
import { table } from "./table.ts";

export interface Context {
  api: UnixApi;
  /** Print what the API answered instead of a table. */
  json: boolean;
  out: (text: string) => Promise<void>;
}

export interface Command {
  name: string;
  words: string;
  summary: string;
  run(context: Context, rest: string[]): Promise<void>;
}

/** The words of a command that takes no options. */
export function words(rest: string[], ...names: string[]): string[] {
  const { words } = parseRest(rest, {});
  if (words.length !== names.length) throw new UsageError(`it takes ${names.join(" ")}`);
  return words;
}

/** The guest that a person means by its name or id. */
export async function find({ api }: Context, word: string): Promise<Guest> {
  const guests = await api.client.call("listGuests", {});
  const guest = guests.find(({ id, name }) => name === word || id === word);
  if (guest === undefined) throw new UsageError(`there is no guest "${word}"`);
  return guest;
}

/** Prints what the API answered, or a table of it. */
export async function show(context: Context, value: unknown, rows: string[][]): Promise<void> {
  await context.out(context.json ? JSON.stringify(value, null, 2) + "\n" : table(rows));
}

export async function showGuests(context: Context, guests: Guest[]): Promise<void> {
  await show(context, context.json && guests.length === 1 ? guests[0] : guests, [
    ["NAME", "STATE", "CPUS", "MEMORY", "DISKS", "ADDRESS", "ID"],
    ...guests.map((guest) => [
      guest.name,
      guest.pausedFor !== null && guest.state === "running" ? "paused" : guest.state,
      String(guest.cpus),
      `${guest.memoryMiB + guest.memory.requestedMiB} MiB`,
      guest.disks.map(({ sizeMiB }) => `${sizeMiB} MiB`).join(", ") || "-",
      guest.agentFacts?.addresses[0] ?? "-",
      guest.id,
    ]),
  ]);
  if (context.json) return;
  const notes = guests.flatMap(({ name, error, pausedFor, pending, resumesFrom, savedAt }) => [
    ...(savedAt === null ? [] : [`${name}: its next start goes on from its saved memory`]),
    ...(resumesFrom === null ? [] : [`${name}: its next start goes on from a snapshot's memory`]),
    ...(error === null ? [] : [`${name}: ${error}`]),
    ...(pausedFor === null ? [] : [`${name} is paused: ${pausedFor}`]),
    ...(pending.length === 0 ? [] : [`${name}: at its next start changes ${pending.join(", ")}`]),
  ]);
  for (const note of notes) await context.out(table([[note]]));
}
