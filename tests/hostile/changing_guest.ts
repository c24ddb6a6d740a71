/**
 * A guest that changes its memory at a pace, page after page, and knows what has to be there in the end.
 *
 * @module
 */
import { PORT } from "../../hypervisor/machine/address_map.ts";
import { GuestProgram } from "./guest_program.ts";

const PAGE = 4096;
/** Of its time stamp counter, between two pages: some 40 microseconds, and 100 MB a second. */
const TICKS = 100_000;
const WORD = 0x1357_9BDF;
const LSR_DATA_READY = 1;
/** In the end it looks at one word of so many bytes: where its instructions are emulated, all would take long. */
const STEP = 1024;

const u32 = (value: number) => [0, 8, 16, 24].map((shift) => value >>> shift & 0xFF);

/**
 * Writes to one page after the other of so many bytes, a power of two, until a byte is typed. `stillBytes` of
 * memory beside them it leaves as they are.
 */
export function changesMemory(
  bytes: number,
  { stillBytes = 0 }: { stillBytes?: number } = {},
): GuestProgram {
  const program = new GuestProgram();
  const pages = program.allocate(bytes);
  const still = program.allocate(stillBytes);
  const blank = program.allocate(PAGE);
  program.fill(pages, bytes, WORD);
  if (stillBytes > 0) program.fill(still, stillBytes, ~WORD);
  program.case("it runs", () => {
    program.read(pages, 4);
    program.expect("what was filled", WORD);
  });
  const { code } = program;
  code.raw(0x45, 0x31, 0xF6, 0x45, 0x31, 0xFF); // xor r14d, r14d; xor r15d, r15d
  // rdtsc; shl rdx, 32; or rax, rdx
  const now = [0x0F, 0x31, 0x48, 0xC1, 0xE2, 32, 0x48, 0x09, 0xD0];
  code.until(LSR_DATA_READY, () => {
    // add r14d, PAGE; and r14d, bytes - 1; inc dword [r14 + pages]; inc r15d
    code.raw(0x41, 0x81, 0xC6, ...u32(PAGE), 0x41, 0x81, 0xE6, ...u32(bytes - 1));
    code.raw(0x41, 0xFF, 0x86, ...u32(pages), 0x41, 0xFF, 0xC7);
    code.raw(...now, 0x49, 0x89, 0xC0); // mov r8, rax
    // pause; (now); sub rax, r8; cmp eax, TICKS; jb back to pause
    const wait = [0xF3, 0x90, ...now, 0x4C, 0x29, 0xC0, 0x3D, ...u32(TICKS)];
    code.raw(...wait, 0x72, -(wait.length + 2) & 0xFF);
    program.in(PORT.COM1 + 5, 1);
    code.and(LSR_DATA_READY);
  });
  program.in(PORT.COM1, 1);
  program.case("it went on", () => {
    program.read(pages + PAGE, 4);
    program.expect("a counter", (value) => value > WORD);
    sum(program, pages, bytes);
    code.raw(0x44, 0x29, 0xF8); // sub eax, r15d: as often as it has written
    program.expect("what it changed", Math.imul(bytes / STEP, WORD));
    if (stillBytes > 0) {
      sum(program, still, stillBytes);
      program.expect("what it left alone", Math.imul(stillBytes / STEP, ~WORD));
    }
    program.read(blank, 4);
    program.expect("what it never touched", 0);
  });
  return program;
}

/** Leaves in eax the sum of words from all over. */
function sum({ code }: GuestProgram, address: number, bytes: number): void {
  // xor eax, eax; mov esi, address; mov ecx, count
  code.raw(0x31, 0xC0, 0xBE, ...u32(address), 0xB9, ...u32(bytes / STEP));
  // add eax, [rsi]; add rsi, STEP; dec ecx; jnz to the first
  const body = [0x03, 0x06, 0x48, 0x81, 0xC6, ...u32(STEP), 0xFF, 0xC9];
  code.raw(...body, 0x75, -(body.length + 2) & 0xFF);
}
