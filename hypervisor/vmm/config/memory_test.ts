import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ConfigError } from "./fields.ts";
import { memoryFields } from "./memory.ts";
import { balloonFlag, memoryFlag, numaFlag, pinFlags } from "./memory_flags.ts";

const GUEST = { memoryMiB: 2048, cpus: 2 };

function refused(fields: Record<string, unknown>, says: string): void {
  const error = assertThrows(() => memoryFields(fields, GUEST), ConfigError);
  assertStringIncludes(error.message, says);
}

Deno.test("memory options come back as they are, and absent ones stay absent", () => {
  assertEquals(memoryFields({}, GUEST), {});
  for (
    const fields of [
      { memory: {}, balloon: {} },
      { memory: { hugePages: "transparent", hotplugMiB: 1024, requestedMiB: 2 } },
      { memory: { hugePages: "1G", mergeable: false, hostNodes: [0, 1] } },
      { memory: { mergeable: true, hugePages: "transparent", hostNodePolicy: "interleave" } },
      { balloon: { targetMiB: 2048, deflateOnOom: false, freePageReporting: true } },
      { cpuAffinity: [[0, 5], []] },
      {
        numaNodes: [
          { cpus: [1], memoryMiB: 48, hostNodes: [0], distances: [10, 20] },
          { cpus: [0], memoryMiB: 2000, distances: [30, 10] },
        ],
      },
    ]
  ) assertEquals(memoryFields(fields, GUEST) as unknown, fields);
});

Deno.test("what memory cannot be is refused with what it may be", () => {
  refused({ memory: { hugePages: "4M" } }, "one of transparent, 2M, 1G, none");
  refused({ memory: { hotplugMiB: 100 } }, "a multiple of 128");
  refused({ memory: { hotplugMiB: 2 ** 20 } }, "from 0 to 524288");
  refused({ memory: { hotplugMiB: 128, requestedMiB: 3 } }, "a multiple of 2");
  refused({ memory: { hotplugMiB: 128, requestedMiB: 130 } }, "from 0 to 128");
  refused({ memory: { requestedMiB: 2 } }, "from 0 to 0");
  refused({ memory: { hostNodes: [] } }, "must not be empty");
  refused({ memory: { hostNodes: [1, 1] } }, "one is there twice");
  refused({ memory: { size: 1 } }, "known fields are hugePages");
  refused({ balloon: { targetMiB: 2049 } }, "from 0 to 2048");
  refused({ balloon: { deflateOnOom: 1 } }, "true or false");
  refused({ cpuAffinity: [[0]] }, "a list for each of the 2 CPUs");
  refused({ cpuAffinity: [[0], [1024]] }, "from 0 to 1023");
});

Deno.test("options that do not go together are refused by both their names", () => {
  refused({ memory: { mergeable: true, hugePages: "2M" } }, "mergeable memory with huge pages of");
  refused({ memory: { mergeable: true, hotplugMiB: 128 } }, "mergeable memory with hotplugMiB 128");
  refused({ memory: { hugePages: "2M", hotplugMiB: 128 } }, "huge pages of 2M with hotplugMiB 128");
  refused({ memory: { hugePages: "2M" }, balloon: {} }, "a balloon with huge pages of");
  assertThrows(
    () => memoryFields({ balloon: {} }, { ...GUEST, pinned: true }),
    ConfigError,
    "a balloon with a disk's pinMemory",
  );
  const odd = assertThrows(
    () => memoryFields({ memory: { hugePages: "1G" } }, { memoryMiB: 1536, cpus: 1 }),
    ConfigError,
  );
  assertStringIncludes(odd.message, "a multiple of 1024");
  const nodes = [{ cpus: [0, 1], memoryMiB: 2048, hostNodes: [0] }];
  refused({ memory: { hostNodes: [0] }, numaNodes: nodes }, "the guest's nodes have their own");
});

Deno.test("nodes have each CPU once, all of the memory, and distances that make sense", () => {
  const nodes = (change: Record<string, unknown>) => ({
    numaNodes: [{ cpus: [0], memoryMiB: 1024 }, { cpus: [1], memoryMiB: 1024, ...change }],
  });
  refused(nodes({ cpus: [0] }), "each of the 2 must be in one");
  refused(nodes({ cpus: [] }), "each of the 2 must be in one");
  refused(nodes({ cpus: [2] }), "from 0 to 1");
  refused(nodes({ memoryMiB: 1000 }), "together they have 2048 MiB");
  refused(nodes({ memoryMiB: 31 }), "from 32 to 2048");
  refused(nodes({ distances: [20, 10] }), "each has one to each of the 2");
  const [near, far] = [[10, 20], [20, 10]];
  for (const rows of [[near, near], [near, [20]], [near, [20, 9]], [near, [255, 10]]]) {
    const withDistances = rows.map((distances, id) => ({ cpus: [id], memoryMiB: 1024, distances }));
    assertThrows(() => memoryFields({ numaNodes: withDistances }, GUEST), ConfigError);
  }
  const numaNodes = [near, far].map((distances, id) => ({
    cpus: [id],
    memoryMiB: 1024,
    distances,
  }));
  assertEquals(memoryFields({ numaNodes }, GUEST), { numaNodes });
});

Deno.test("any JSON gives memory options that parse to themselves, or a ConfigError", () => {
  const mib = fc.oneof(fc.constantFrom(0, 2, 128, 1024, 2048), fc.integer(), fc.double());
  const numbers = fc.array(fc.integer({ min: -1, max: 1100 }), { maxLength: 3 });
  const some = <T>(it: fc.Arbitrary<T>) => fc.option(it, { nil: undefined });
  const near = fc.record({
    memory: some(fc.record({
      hugePages: some(fc.constantFrom("transparent", "2M", "1G", "none", "off")),
      mergeable: some(fc.boolean()),
      hotplugMiB: some(mib),
      requestedMiB: some(mib),
      hostNodes: some(numbers),
    })),
    balloon: some(fc.record({ targetMiB: some(mib), deflateOnOom: some(fc.boolean()) })),
    cpuAffinity: some(fc.array(numbers, { maxLength: 3 })),
    numaNodes: some(fc.array(fc.record({ cpus: numbers, memoryMiB: mib }), { maxLength: 3 })),
  });
  const any = fc.dictionary(
    fc.constantFrom("memory", "balloon", "cpuAffinity", "numaNodes"),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(fc.oneof(any, near), (value) => {
      let fields;
      try {
        fields = memoryFields(value, GUEST);
      } catch (error) {
        assert(error instanceof ConfigError, String(error));
        assert(error.message.startsWith("Cannot use "));
        return;
      }
      assertEquals(memoryFields({ ...fields }, GUEST), fields);
      const { hotplugMiB = 0, requestedMiB = 0 } = fields.memory ?? {};
      assert(requestedMiB <= hotplugMiB && (fields.balloon?.targetMiB ?? 0) <= 2048);
    }),
    { numRuns: 500 },
  );
});

Deno.test("flags become the fields that they stand for", () => {
  assertEquals(memoryFlag("512"), { memoryMiB: 512 });
  assertEquals(memoryFlag("2G,huge-pages=transparent,mergeable,hotplug=4G,requested=512M"), {
    memoryMiB: 2048,
    memory: { hugePages: "transparent", mergeable: true, hotplugMiB: 4096, requestedMiB: 512 },
  });
  assertEquals(balloonFlag("1G,no-deflate-on-oom,no-reporting"), {
    targetMiB: 1024,
    deflateOnOom: false,
    freePageReporting: false,
  });
  assertEquals(numaFlag("256M"), { memoryMiB: 256, cpus: [] });
  assertEquals(numaFlag("1G,cpus=0+2,host=1,distances=10+20"), {
    memoryMiB: 1024,
    cpus: [0, 2],
    hostNodes: [1],
    distances: [10, 20],
  });
  assertEquals(pinFlags([], 2), undefined);
  assertEquals(pinFlags(["1,3", "1,4+5"], 3), [[], [3, 4, 5], []]);
  for (
    const [flag, says] of [
      [() => memoryFlag("lots"), "such as 512M"],
      [() => memoryFlag("1G,hotplug"), "such as 512M"],
      [() => memoryFlag("1G,fast"), 'option "fast"'],
      [() => balloonFlag("1G,fast"), 'option "fast"'],
      [() => numaFlag("1G,cpus=all"), 'option "cpus=all"'],
      [() => numaFlag("1G,constructor=1"), 'option "constructor=1"'],
      [() => pinFlags(["0"], 1), "such as 0,2+3"],
      [() => pinFlags(["2,0"], 2), "no vCPU 2"],
    ] as const
  ) assertThrows(flag, ConfigError, says);
});
