import { assertEquals, assertMatch } from "@std/assert";
import { DIRTY_PAGE_BYTES as PAGE } from "../../machine/dirty_pages.ts";
import { ramAreas } from "../move/ram_image.ts";
import { parseConfig } from "../config/guest.ts";
import { EXIT_CODES, type PlugConfig } from "../control.ts";
import { CONFIG } from "../snapshot/testing/saved_guest.ts";
import { checkUserFaults } from "../../sys/userfaultfd.ts";
import { whyNotFollow } from "./arrival.ts";
import { decodeWant, encodePages, encodeZeros } from "./page_frames.ts";
import { MissingMemory } from "./testing/missing_memory.ts";

function whyNot(): string | undefined {
  try {
    checkUserFaults();
  } catch (error) {
    return (error as Error).message;
  }
}

const problem = whyNot();
if (problem !== undefined) console.warn(`Tests of arriving memory are left out: ${problem}`);
const test = (name: string, fn: () => void | Promise<void>) =>
  Deno.test({ name, ignore: problem !== undefined, fn });

/** A thread that reads bytes of memory one after the other, and says what they are. */
function read(address: number, at: readonly number[]): { seen: Int32Array; worker: Worker } {
  const seen = new Int32Array(new SharedArrayBuffer(4 * at.length)).fill(-1);
  const source = `self.onmessage = ({ data: { address, at, seen } }) => {
    for (let i = 0; i < at.length; i++) {
      const pointer = Deno.UnsafePointer.create(BigInt(address + at[i]));
      Atomics.store(seen, i, new Deno.UnsafePointerView(pointer).getUint8());
    }
  };`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  worker.postMessage({ address, at, seen });
  return { seen, worker };
}

const page = (value: number) => new Uint8Array(PAGE).fill(value);

test("a page that is touched is asked for and waited for; the others come by themselves", () => {
  using rig = new MissingMemory({ missing: [10, 20] });
  const { arrival, other, heard, told, memory } = rig;
  rig.bytes[0] = 3;
  arrival.begin();
  // One that is there, two that follow, and one that nobody ever wrote to.
  const { seen, worker } = read(memory.address, [
    0,
    12 * PAGE,
    12 * PAGE + 9,
    25 * PAGE,
    99 * PAGE,
  ]);
  rig.until(() => heard.length === 1);
  assertEquals(heard.map(({ kind }) => kind), ["want"]);
  const wanted = (n: number) => decodeWant(heard[n].body, ramAreas(memory));
  assertEquals([wanted(0), [...seen]], [[12 * PAGE], [3, -1, -1, -1, -1]]);
  other.say("pages", encodePages(12 * PAGE, page(7)));
  rig.until(() => heard.length === 2);
  assertEquals([wanted(1), [...seen]], [[25 * PAGE], [3, 7, 7, -1, -1]]);
  other.say("pages", encodePages(25 * PAGE, new Uint8Array([...page(8), ...page(9)])));
  rig.until(() => seen[4] >= 0);
  assertEquals([...seen], [3, 7, 7, 8, 0]);
  // What is said besides goes through, both ways.
  arrival.say("ready");
  other.say("go");
  rig.until(() => told.length === 1 && heard.length === 3);
  assertEquals([told, heard[2].kind], [["go"], "ready"]);
  arrival.say("runs");
  other.say("zeros", encodeZeros({ offset: 10 * PAGE, length: 2 * PAGE }));
  other.say("zeros", encodeZeros({ offset: 13 * PAGE, length: 12 * PAGE }));
  other.say("pages", encodePages(27 * PAGE, new Uint8Array(3 * PAGE).fill(5)));
  rig.until(() => told.length >= 2 && heard.length === 5);
  assertEquals(told.slice(0, 2), ["go", "arrived"]);
  assertEquals(heard.slice(3).map(({ kind }) => kind), ["runs", "arrived"]);
  // Nobody is asked any more.
  assertEquals([rig.bytes[10 * PAGE], rig.bytes[29 * PAGE], rig.bytes[300 * PAGE]], [0, 5, 0]);
  assertEquals(arrival.leftBytes, 0);
  worker.terminate();
});

for (
  const [what, say, why] of [
    [
      "sends a page twice",
      (rig) => {
        for (let i = 0; i < 2; i++) rig.other.say("pages", encodePages(10 * PAGE, page(1)));
      },
      /the page at 40960 is not one that is to come/,
    ],
    [
      "sends a page that nobody was told of",
      (rig) => rig.other.say("pages", encodePages(9 * PAGE, page(1))),
      /the page at 36864 is not one that is to come/,
    ],
    [
      "sends what is beside RAM",
      (rig) => rig.other.say("zeros", encodeZeros({ offset: 512 * PAGE, length: PAGE })),
      /are no pages of RAM/,
    ],
    [
      "gives the guest away twice",
      (rig) => {
        rig.other.say("go");
        rig.until(() => rig.told.splice(0)[0] === "go");
        rig.other.say("go");
      },
      /it gives the guest away twice/,
    ],
    ["says what is not its to say", (rig) => rig.other.say("runs"), /"runs" where nobody asked/],
    [
      "goes away",
      (rig) => {
        rig.other.end();
        rig.pair.close(1);
      },
      /The other VMM is gone/,
    ],
  ] as [string, (rig: MissingMemory) => void, RegExp][]
) {
  test(`who ${what} is told of, and nothing more comes`, () => {
    using rig = new MissingMemory({ missing: [10, 20] });
    rig.arrival.begin();
    rig.arrival.say("ready");
    rig.until(() => rig.heard.length === 1);
    say(rig);
    rig.until(() => rig.told.length > 0);
    assertMatch(rig.told[0], why);
  });
}

test("a main thread that waits for what never comes does not keep the process, which says why", async () => {
  const file = await Deno.makeTempFile();
  const module = new URL("testing/missing_memory.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", module, file],
    signal: AbortSignal.timeout(30_000),
  }).output();
  const errors = new TextDecoder().decode(stderr);
  assertEquals([code, new TextDecoder().decode(stdout)], [EXIT_CODES.host, ""], errors);
  assertMatch(errors, /its memory did not all come: The other VMM is gone/);
  const { reason, message } = JSON.parse(await Deno.readTextFile(file));
  assertEquals([reason, errors.trim()], ["host", message]);
  await Deno.remove(file);
});

test("what memory can follow is known by its guest's configuration", () => {
  const of = (change: Record<string, unknown>) =>
    whyNotFollow({ ...parseConfig(CONFIG), memory: change }, []);
  assertEquals(of({}), undefined);
  assertMatch(of({ hugePages: "2M" })!, /of a pool of huge pages/);
  assertMatch(of({ mergeable: true })!, /may be merged/);
  assertMatch(of({ hotplugMiB: 128 })!, /can be added to it/);
  const withPlugged = (device: PlugConfig) =>
    whyNotFollow(parseConfig(CONFIG), [{ name: "block1", slot: 0, device }]);
  assertEquals(withPlugged({ disk: { path: "/other" } }), undefined);
  assertEquals(
    withPlugged({ disk: { path: "/other", pinMemory: true } }),
    "a disk pins its memory",
  );
});
