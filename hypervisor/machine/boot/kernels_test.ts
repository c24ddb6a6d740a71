import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { zstdCompressSync } from "node:zlib";
import { map } from "../../sys/mapping.ts";
import { GuestMemory } from "../memory.ts";
import { bzImage } from "../testing/bzimage.ts";
import { ELF_ADDRESS, elfKernel } from "../testing/elf.ts";
import { loadLinux } from "./load.ts";
import { BOOT, type BootEntry } from "./plan.ts";

const MiB = 2 ** 20;
const VIRTUAL = 0xFFFF_FFFF_8100_0000n;
const KASLR_FLAG = 2;
/** A page whose first words are a pointer to itself, and a mark behind it. */
const CODE = new Uint8Array(4096);
new DataView(CODE.buffer).setBigUint64(0, VIRTUAL, true);
CODE.set([1, 2, 3, 4], 8);
/** No pointers but that one. */
const RELOCATIONS = new Uint8Array(Uint32Array.of(0, 0x8100_0000, 0, 0).buffer);

function packed(vmlinux: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = zstdCompressSync(vmlinux);
  const out = new Uint8Array(bytes.length + 4);
  out.set(bytes);
  new DataView(out.buffer).setUint32(bytes.length, vmlinux.length, true);
  return out;
}

interface Loaded {
  boot: BootEntry;
  memory: GuestMemory;
  logged: string[];
}

/** Loads a bzImage of this vmlinux by a cache, in 128 MiB. */
function load(vmlinux: Uint8Array, look: (loaded: Loaded) => void, cmdline = "quiet"): void {
  const folder = Deno.makeTempDirSync();
  const mapping = map(128 * MiB);
  try {
    const kernel = `${folder}/kernel`;
    const initrd = `${folder}/initrd`;
    Deno.writeFileSync(kernel, bzImage({ packed: packed(vmlinux) }));
    Deno.writeFileSync(initrd, new Uint8Array(8 * MiB).fill(9));
    const memory = new GuestMemory(mapping.address, mapping.length);
    const logged: string[] = [];
    const boot = loadLinux(memory, {
      ...{ kernel, initrd, cmdline, kernelCache: `${folder}/cache` },
      ...{ cpus: 1, physicalBits: 39, log: (line) => logged.push(line) },
    });
    look({ boot, memory, logged });
  } finally {
    mapping.unmap();
    Deno.removeSync(folder, { recursive: true });
  }
}

const kernel = (behind: Uint8Array = RELOCATIONS) =>
  elfKernel({ segments: [{ address: ELF_ADDRESS, bytes: CODE, memoryBytes: MiB }], behind });

Deno.test("an unpacked kernel is moved in memory and to another virtual address, and is told", () => {
  const places = new Set<number>();
  const addresses = new Set<bigint>();
  for (let i = 0; i < 6; i++) {
    load(kernel(), ({ boot, memory, logged }) => {
      assertEquals([boot.mode, logged], ["linux64", []]);
      places.add(boot.entry);
      assertEquals(boot.entry % (2 * MiB), 0);
      assertEquals([...memory.bytes.subarray(boot.entry + 8, boot.entry + 12)], [1, 2, 3, 4]);
      // It and the initrd leave each other alone.
      assert(boot.entry >= ELF_ADDRESS && boot.entry + MiB <= 120 * MiB);
      const initrd = memory.view.getUint32(BOOT.ZERO_PAGE + 0x218, true);
      assertEquals([memory.bytes[initrd], memory.bytes[initrd + 8 * MiB - 1]], [9, 9]);
      const pointer = memory.view.getBigUint64(boot.entry, true);
      addresses.add(pointer);
      assertEquals((pointer - VIRTUAL) % BigInt(2 * MiB), 0n);
      assert(pointer >= VIRTUAL && pointer + BigInt(MiB) <= 0xFFFF_FFFF_C000_0000n);
      assertEquals(memory.bytes[BOOT.ZERO_PAGE + 0x211] & KASLR_FLAG, KASLR_FLAG);
    });
  }
  // Six times the same of 52 places, and of 503, has a chance below 1 in 10^8.
  assert(places.size > 1 && addresses.size > 1);
});

Deno.test("nokaslr, and a kernel without relocations, leave it where it was linked to", () => {
  const stays = ({ boot, memory }: Loaded) => {
    assertEquals(boot.entry, ELF_ADDRESS);
    assertEquals(memory.view.getBigUint64(ELF_ADDRESS, true), VIRTUAL);
    assertEquals(memory.bytes[BOOT.ZERO_PAGE + 0x211] & KASLR_FLAG, 0);
  };
  load(kernel(), stays, "console=ttyS0 nokaslr");
  load(kernel(new Uint8Array()), stays);
});

Deno.test("a kernel with something else behind it unpacks itself", () => {
  load(kernel(new Uint8Array(6).fill(1)), ({ boot, logged }) => {
    assertEquals(boot.entry, 0x10_0200);
    assertEquals(logged.length, 1);
    assert(logged[0].endsWith("are no relocations; it unpacks itself"), logged[0]);
  });
});

Deno.test("any damage to a packed kernel is loaded, refused, or left to itself", () => {
  const whole = kernel();
  const flips = fc.array(
    fc.record({
      at: fc.oneof(fc.nat(190), fc.nat(whole.length - 1)),
      byte: fc.nat(255),
    }),
    { maxLength: 4 },
  );
  fc.assert(
    fc.property(flips, (flips) => {
      const vmlinux = whole.slice();
      for (const { at, byte } of flips) vmlinux[at] = byte;
      try {
        load(vmlinux, ({ boot }) => assert(boot.entry >= MiB && boot.entry < 128 * MiB));
      } catch (error) {
        assert(error instanceof SyntaxError || error instanceof RangeError, String(error));
        assert(error.message.startsWith("Cannot boot "), error.message);
      }
    }),
    { numRuns: 25 },
  );
});
