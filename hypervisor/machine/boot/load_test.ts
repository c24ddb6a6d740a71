import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { map } from "../../sys/mapping.ts";
import { RSDP_ADDRESS } from "../acpi/tables.ts";
import { ECAM } from "../address_map.ts";
import { GuestMemory } from "../memory.ts";
import { bzImage, type ImageOptions } from "../testing/bzimage.ts";
import { e820, loadLinux } from "./load.ts";
import { BOOT } from "./plan.ts";
import { GENERATION_BYTES } from "../acpi/generation.ts";
import { VM_GENERATION } from "../address_map.ts";

const MiB = 2 ** 20;
const GiB = 2 ** 30;

function withMemory<T>(length: number, test: (memory: GuestMemory) => T): T {
  const mapping = map(length);
  try {
    return test(new GuestMemory(mapping.address, length));
  } finally {
    mapping.unmap();
  }
}

interface Files {
  kernel: Uint8Array;
  initrd?: Uint8Array;
  cmdline?: string;
  memory?: number;
}

/** Loads files of these bytes; `look` sees the memory behind it. */
function load(files: Files, look: (memory: GuestMemory) => void = () => {}): void {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.writeFileSync(`${folder}/kernel`, files.kernel);
    if (files.initrd) Deno.writeFileSync(`${folder}/initrd`, files.initrd);
    withMemory(files.memory ?? 128 * MiB, (memory) => {
      loadLinux(memory, {
        kernel: `${folder}/kernel`,
        initrd: files.initrd && `${folder}/initrd`,
        cmdline: files.cmdline ?? "",
        cpus: 1,
        physicalBits: 39,
      });
      look(memory);
    });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("kernel, initrd, command line and tables lie where the zero page says", () => {
  const code = Uint8Array.from({ length: 5000 }, (_, i) => i * 7);
  const initrd = new TextEncoder().encode("an archive of a few bytes");
  load({ kernel: bzImage({ code }), initrd, cmdline: "console=ttyS0 ä" }, (memory) => {
    assertEquals(memory.bytes.subarray(0x10_0200, 0x10_0200 + 5000), code);
    const u32 = (at: number) => memory.view.getUint32(BOOT.ZERO_PAGE + at, true);
    assertEquals(memory.bytes.slice(u32(0x218), u32(0x218) + u32(0x21C)), initrd);
    assertEquals(u32(0x218) % 4096, 0);
    const end = memory.bytes.indexOf(0, u32(0x228));
    assertEquals(text(memory.bytes.slice(u32(0x228), end)), "console=ttyS0 ä");
    assertEquals(u32(0x70), RSDP_ADDRESS);
    assertEquals(text(memory.bytes.slice(RSDP_ADDRESS, RSDP_ADDRESS + 8)), "RSD PTR ");
  });
});

Deno.test("every start has a generation id of its own, in memory that is reserved", () => {
  const ids = [1, 2].map(() => {
    let id = new Uint8Array();
    load({ kernel: bzImage() }, (memory) => {
      id = memory.bytes.slice(VM_GENERATION, VM_GENERATION + GENERATION_BYTES);
      const range = e820(memory).find(({ address, length }) =>
        VM_GENERATION >= address && VM_GENERATION + 4096 <= address + length
      );
      assertEquals(range?.type, "reserved");
    });
    return id.toHex();
  });
  assert(ids[0] !== ids[1] && !ids.includes("0".repeat(32)));
});

Deno.test("the page tables map the first GiB to itself", () => {
  load({ kernel: bzImage() }, ({ view }) => {
    const entry = (at: number) => Number(view.getBigUint64(at, true));
    for (const address of [0, 0x10_0200, 0x3FFF_FFFF]) {
      const pdpt = entry(BOOT.PML4) & ~0xFFF;
      const directory = entry(pdpt) & ~0xFFF;
      const page = entry(directory + 8 * Math.floor(address / 0x20_0000));
      assertEquals(page & 0x83, 0x83);
      assertEquals((page & ~0xFFF) + address % 0x20_0000, address);
    }
  });
});

Deno.test("an initrd lies below what the kernel can reach", () => {
  const kernel = bzImage({ initrdAddressMax: 0x37F_FFFF });
  load({ kernel, initrd: new Uint8Array(10_000) }, ({ view }) => {
    assertEquals(view.getUint32(BOOT.ZERO_PAGE + 0x218, true), 0x380_0000 - 3 * 4096);
  });
});

Deno.test("what does not fit is refused with what it needs", () => {
  const refused = (image: ImageOptions, rest: Omit<Files, "kernel">, why: string) =>
    assertThrows(() => load({ kernel: bzImage(image), ...rest }), RangeError, why);
  refused({ initSize: 200 * MiB }, {}, "needs 216 MiB of memory to unpack and the guest has 128");
  refused({ prefAddress: 2n ** 63n }, {}, "of memory to unpack");
  refused({ initSize: 111 * MiB }, { initrd: new Uint8Array(2 * MiB) }, "would overlap it");
  refused({}, { initrd: new Uint8Array(0) }, "it is empty");
  refused({ cmdlineSize: 10 }, { cmdline: "12345678901" }, "is 11 bytes long and it takes 10");
  load({ kernel: bzImage({ cmdlineSize: 10 }), cmdline: "1234567890" });
  // A kernel that claims to take any command line does not get one that runs into it.
  refused({ cmdlineSize: 0xFFFF_FFFF }, { cmdline: "x".repeat(600_000) }, "it takes 523263");
});

Deno.test("a file that cannot be read is refused by its name", () => {
  const folder = Deno.makeTempDirSync();
  const pipe = `${folder}/pipe`;
  new Deno.Command("mkfifo", { args: [pipe] }).outputSync();
  withMemory(128 * MiB, (memory) => {
    const options = { cmdline: "", cpus: 1, physicalBits: 39 };
    for (const path of [`${folder}/missing`, folder, pipe]) {
      assertThrows(
        () => loadLinux(memory, { ...options, kernel: path }),
        TypeError,
        `Cannot read the kernel "${path}"`,
      );
    }
    Deno.writeFileSync(`${folder}/kernel`, bzImage());
    assertThrows(
      () => loadLinux(memory, { ...options, kernel: `${folder}/kernel`, initrd: pipe }),
      TypeError,
      "it is not a file",
    );
  });
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("any kernel, damaged anywhere, is loaded or refused with a SyntaxError or RangeError", () => {
  const flips = fc.array(
    fc.record({
      at: fc.integer({ min: 0x1F1, max: 0x268 }),
      byte: fc.integer({ min: 0, max: 255 }),
    }),
    { maxLength: 4 },
  );
  const whole = bzImage({ code: new Uint8Array(2000) });
  fc.assert(
    fc.property(flips, fc.nat(whole.length), fc.boolean(), (flips, length, cut) => {
      const kernel = cut ? whole.slice(0, length) : whole.slice();
      for (const { at, byte } of flips) if (at < kernel.length) kernel[at] = byte;
      try {
        load({ kernel, initrd: new Uint8Array(5000), cmdline: "quiet" });
      } catch (error) {
        assert(error instanceof SyntaxError || error instanceof RangeError, String(error));
        assert(error.message.startsWith("Cannot boot "), error.message);
      }
    }),
    { numRuns: 80 },
  );
});

Deno.test("the memory map adds up to the RAM, without overlaps, and leaves out the hole", () => {
  for (const length of [128 * MiB, 3 * GiB, 3 * GiB + MiB, 8 * GiB]) {
    withMemory(length, (memory) => {
      const entries = e820(memory).sort((a, b) => a.address - b.address);
      entries.reduce((end, entry) => {
        assert(entry.address >= end && entry.length > 0);
        return entry.address + entry.length;
      }, 0);
      const ram = entries.filter((e) => e.type === "ram");
      // Less what a PC keeps between 639 KiB and 1 MiB for its firmware.
      const firmware = MiB - 0x9_FC00;
      assertEquals(ram.reduce((sum, e) => sum + e.length, 0), length - firmware);
      for (const { address, length } of ram) assert(memory.offset(address, length) >= 0);
      assert(entries.some((e) => e.type === "reserved" && e.address === ECAM.start));
    });
  }
});
