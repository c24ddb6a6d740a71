/**
 * A guest of a few instructions that counts for as long as nobody types, and what its saves are looked at
 * with.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import type { SaveRequest } from "../../hypervisor/vmm/control.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import type { Folder } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { PORT } from "../../hypervisor/machine/address_map.ts";
import type { GuestProgram } from "./guest_program.ts";
import type { HostileRun } from "./hostile_guest.ts";

const u32 = (value: number) => [0, 8, 16, 24].map((shift) => value >>> shift & 0xFF);

/**
 * Counts in memory, at the address that is returned, and in a register until a byte is typed; both have
 * counted the same then, and no less than `least`.
 */
export function counts(program: GuestProgram, least: () => number): number {
  const counter = program.allocate(8);
  const { code } = program;
  code.raw(0x45, 0x31, 0xF6); // xor r14d, r14d
  program.write(counter, 8, 0);
  const LSR_DATA_READY = 1;
  code.until(LSR_DATA_READY, () => {
    // inc r14; inc qword [counter]
    code.raw(0x49, 0xFF, 0xC6, 0x48, 0xFF, 0x04, 0x25, ...u32(counter));
    program.in(PORT.COM1 + 5, 1);
    code.and(LSR_DATA_READY);
  });
  program.in(PORT.COM1, 1);
  program.case("it counted on in memory and in a register", () => {
    program.read(counter, 4);
    program.expect("the counter", (value) => value >= least());
    // mov eax, [counter]; sub eax, r14d
    code.raw(0x8B, 0x04, 0x25, ...u32(counter), 0x44, 0x29, 0xF0);
    program.expect("the difference", 0);
  });
  return counter;
}

/** A word of RAM in a snapshot. */
export function saved(directory: string, address: number): number {
  const memory = Deno.readFileSync(`${directory}/memory`);
  return new DataView(memory.buffer).getUint32(address, true);
}

/** What the last save was, in figures. */
export let figures: { pauseMs: number; rounds: number; bytes: number; stoodStill?: string };

/** Has the guest saved; what the VMM said on the way, without progress and figures. */
export async function save(
  socket: string,
  options: Omit<SaveRequest, "op">,
  held: () => Promise<void> = () => Promise.resolve(),
): Promise<unknown[]> {
  using control = await ControlConnection.open(socket, { op: "save", ...options });
  const said: unknown[] = [];
  for (let line = await control.line(); line; line = await control.line()) {
    if (line.saving) continue;
    const { saved, ...rest } = line;
    if (saved !== undefined) figures = rest;
    said.push(line.status ? "accepted" : saved === undefined ? line : { saved });
    if (line.ready) await control.send('{"op":"go"}\n');
    if (line.held) {
      await held();
      await control.send('{"op":"go"}\n');
    }
  }
  return said;
}

export function right(run: HostileRun): void {
  for (const { name, wrong } of run.verdicts) assertEquals(wrong, [], `${name}: ${run.errors}`);
  assertEquals(run.code, 0, run.errors);
}

/** Waits until nothing is left of what was given up, which is in a moment after the guest goes on. */
export async function swept(folder: Folder, name: string) {
  while (folder.names().some((one) => one.startsWith(name))) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Waits until the guest's status is as it has to be. */
export async function until(socket: string, holds: (pausedFor: string | undefined) => boolean) {
  while (!holds((await ask(socket, { op: "status" })).status.pausedFor)) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
