/**
 * A guest of a few instructions that is saved while it counts, and goes on in another VMM.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { Folder, HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { PORT } from "../../hypervisor/machine/address_map.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest, type HostileRun } from "./hostile_guest.ts";

const MAIN = new URL("../../hypervisor/vmm/main.ts", import.meta.url).pathname;
const VMM = [Deno.execPath(), "run", "-A", "--no-check", "--quiet", MAIN] as const;

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });

const u32 = (value: number) => [0, 8, 16, 24].map((shift) => value >>> shift & 0xFF);

/**
 * Counts in memory, at the address that is returned, and in a register until a byte is typed; both have
 * counted the same then, and more than `least`.
 */
function counts(program: GuestProgram, least: () => number): number {
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
    program.expect("the counter", (value) => value > least());
    // mov eax, [counter]; sub eax, r14d
    code.raw(0x8B, 0x04, 0x25, ...u32(counter), 0x44, 0x29, 0xF0);
    program.expect("the difference", 0);
  });
  return counter;
}

/** A word of RAM in a snapshot. */
function saved(directory: string, address: number): number {
  const memory = Deno.readFileSync(`${directory}/memory`);
  return new DataView(memory.buffer).getUint32(address, true);
}

/** Has the guest saved; what the VMM said on the way, without the progress. */
async function save(
  socket: string,
  options: { directory: string; hold?: boolean; stay?: boolean },
  held: () => Promise<void> = () => Promise.resolve(),
): Promise<unknown[]> {
  using control = await ControlConnection.open(socket, { op: "save", ...options });
  const said: unknown[] = [];
  for (let line = await control.line(); line; line = await control.line()) {
    if (line.saving) continue;
    said.push(line.status ? "accepted" : line);
    if (line.held) {
      await held();
      await control.send('{"op":"go"}\n');
    }
  }
  return said;
}

function right(run: HostileRun): void {
  for (const { name, wrong } of run.verdicts) assertEquals(wrong, [], `${name}: ${run.errors}`);
  assertEquals(run.code, 0, run.errors);
}

test("a guest that is saved goes on, and goes on again where it was in another process", async () => {
  using folder = new Folder();
  const program = new GuestProgram();
  program.case("it runs", () => {
    program.read(0x500, 4);
    program.expect("anything", () => true);
  });
  let before = 0;
  const counter = counts(program, () => before);
  const socket = `${folder.path}/control`;
  const args = ["--memory", "128M", "--control", socket];
  const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
  await guest.isThrough("it runs");
  const directory = `${folder.path}/snapshot`;
  assertEquals(await save(socket, { directory }), ["accepted", { saved: directory }]);
  assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
    "memory",
    "state",
  ]);
  const { size, blocks } = Deno.statSync(`${directory}/memory`);
  assertEquals(size, 128 * 2 ** 20);
  assert(blocks! * 512 < 8 * 2 ** 20, `${blocks} blocks`);
  before = saved(directory, counter);
  assert(before > 0);
  await guest.type();
  right(await guest.ended());
  for (let i = 0; i < 2; i++) {
    const restore = { directory, cases: 1 };
    const again = new HostileGuest(program, { vmm: VMM, folder: folder.path, args: [], restore });
    await again.type();
    right(await again.ended());
  }
});
