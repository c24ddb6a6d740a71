import { assert, assertEquals, assertThrows } from "@std/assert";
import { EFAULT, errno, SysError } from "./errno.ts";
import { close } from "./files.ts";
import { map, memfd } from "./mapping.ts";
import {
  adviseHugePages,
  adviseMergeable,
  bindMemory,
  discard,
  MADV,
  MPOL,
  protect,
} from "./memory_advice.ts";
import { contradictions } from "./testing/headers.ts";
import { readPseudoFile } from "./pseudo_files.ts";
import { fillRandom } from "./random.ts";

const MiB = 2 ** 20;

/** Bytes of the host that the file takes. */
const taken = (fd: number) => Deno.statSync(`/proc/self/fd/${fd}`).blocks! * 512;

Deno.test("what is discarded leaves the file, and reads as 0 through every mapping of it", () => {
  const fd = memfd("test", 8 * MiB);
  const [one, other] = [map(8 * MiB, { fd }), map(8 * MiB, { fd })];
  new Uint8Array(one.buffer).fill(7);
  assertEquals(taken(fd), 8 * MiB);
  assertEquals(discard(other.address + MiB, 2 * MiB, { private: false }), 0);
  assertEquals(taken(fd), 6 * MiB);
  const bytes = new Uint8Array(one.buffer);
  assertEquals([bytes[MiB - 1], bytes[MiB], bytes[3 * MiB - 1], bytes[3 * MiB]], [7, 0, 0, 7]);
  one.unmap();
  other.unmap();
  close(fd);
});

Deno.test("what is discarded of a private mapping reads as 0", () => {
  const mapping = map(2 * MiB, { private: true });
  const bytes = new Uint8Array(mapping.buffer).fill(7);
  assertEquals(discard(mapping.address, MiB, { private: true }), 0);
  assertEquals([bytes[0], bytes[MiB - 1], bytes[MiB]], [0, 0, 7]);
  mapping.unmap();
});

Deno.test("the kernel cannot reach what is protected, until it is accessible again", () => {
  const mapping = map(2 * MiB);
  assertEquals(protect(mapping.address + MiB, MiB, { accessible: false }), 0);
  assert(fillRandom(mapping.address + MiB, 16) < 0);
  assertEquals(errno(), EFAULT);
  assertEquals(fillRandom(mapping.address + MiB - 16, 16), 16);
  assertEquals(protect(mapping.address + MiB, MiB, { accessible: true }), 0);
  assertEquals(fillRandom(mapping.address + MiB, 16), 16);
  mapping.unmap();
});

Deno.test("an aligned mapping is aligned, and all of it is the file's", () => {
  const fd = memfd("test", 3 * MiB);
  for (const align of [2 * MiB, 1024 * MiB]) {
    const mapping = map(3 * MiB, { fd, align });
    assertEquals(mapping.address % align, 0);
    const bytes = new Uint8Array(mapping.buffer);
    bytes[0] = bytes[3 * MiB - 1] = 1;
    mapping.unmap();
  }
  const plain = new Uint8Array(map(3 * MiB, { fd }).buffer);
  assertEquals([plain[0], plain[3 * MiB - 1]], [1, 1]);
  assertThrows(() => map(MiB, { fd: 99_999, align: 2 * MiB }), SysError, "EBADF");
  close(fd);
});

Deno.test("advice shows in what the kernel says of a mapping", () => {
  const file = memfd("test", 4 * MiB);
  const shared = map(4 * MiB, { fd: file, align: 2 * MiB });
  const own = map(4 * MiB, { private: true });
  adviseHugePages(shared.address, shared.length);
  adviseMergeable(own.address, own.length);
  assert(flagsOf(shared.address).includes("hg"));
  assert(flagsOf(own.address).includes("mg"));
  shared.unmap();
  own.unmap();
  close(file);
});

/** The VmFlags of the mapping at `address`: proc(5). */
function flagsOf(address: number): string[] {
  const smaps = readPseudoFile("/proc/self/smaps");
  const at = smaps.search(new RegExp(`^${address.toString(16).padStart(8, "0")}-`, "m"));
  return /^VmFlags: (.*)$/m.exec(smaps.slice(at))![1].trim().split(" ");
}

Deno.test("memory is bound to nodes that there are, and not to others", () => {
  const mapping = map(MiB);
  bindMemory(mapping.address, MiB, { nodes: [0], policy: "bind" });
  new Uint8Array(mapping.buffer).fill(1);
  const maps = readPseudoFile("/proc/self/numa_maps");
  assert(maps.includes(`${mapping.address.toString(16)} bind:0 `), "the policy is not bind:0");
  assertThrows(
    () => bindMemory(mapping.address, MiB, { nodes: [999], policy: "bind" }),
    SysError,
    "Cannot take memory from the host's NUMA nodes 999",
  );
  mapping.unmap();
});

Deno.test("the numbers are those of the kernel's headers", () => {
  const madv = Object.entries(MADV).map(([key, value]) => [`MADV_${key}`, value]);
  const mpol = Object.entries(MPOL).map(([key, value]) => [`MPOL_${key.toUpperCase()}`, value]);
  const claims = { ...Object.fromEntries([...madv, ...mpol]), SYS_mbind: 237 };
  const includes = ["linux/mman.h", "linux/mempolicy.h", "sys/syscall.h"];
  assertEquals(contradictions(includes, claims), []);
});
