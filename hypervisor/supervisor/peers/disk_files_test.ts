import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { copyData } from "../../sys/reflink.ts";
import { ContentDigest, contentDigestOf } from "./digests.ts";
import { BLOCK, isZero, SourceFile, TargetFile } from "./disk_files.ts";
import { PeerError } from "./frames.ts";
import { Pace } from "./pace.ts";
import { parseProcessor, whyNotOn } from "./cpu_features.ts";
import { Chart } from "./chart.ts";

Deno.test("a file is brought over with its holes, and with what changes", () => {
  const directory = Deno.makeTempDirSync();
  try {
    const [from, to] = [`${directory}/from`, `${directory}/to`];
    const size = 8 << 20;
    Deno.writeFileSync(from, new Uint8Array());
    Deno.truncateSync(from, size);
    const put = (position: number, bytes: Uint8Array) => {
      using file = Deno.openSync(from, { write: true });
      file.seekSync(position, Deno.SeekMode.Start);
      file.writeSync(bytes);
    };
    put(4 << 20, new Uint8Array(100_000).fill(5));
    put(size - 3, new Uint8Array([1, 2, 3]));
    using source = new SourceFile(from);
    using target = new TargetFile(to, source.bytes);
    let sent = 0;
    for (const { position, bytes } of source.data()) {
      target.write(position, bytes!);
      sent += bytes!.length;
    }
    assertEquals(Deno.readFileSync(to), Deno.readFileSync(from));
    assertEquals(sent < 300_000, true, `${sent} bytes of data`);
    put(4 << 20, new Uint8Array(50_000));
    put(0, new Uint8Array([9]));
    for (const range of [{ position: 4 << 20, length: 50_000 }, { position: 0, length: 512 }]) {
      for (const { position, length, bytes } of source.range(range)) {
        if (bytes === null) target.zero(position, length);
        else target.write(position, bytes);
      }
    }
    assertEquals(Deno.readFileSync(to), Deno.readFileSync(from));
    assertThrows(() => target.write(size - 1, new Uint8Array(2)), PeerError);
    assertThrows(() => target.zero(size, 1), PeerError);
    assertEquals(Deno.statSync(to).size, size);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("zeros are told from all else", () => {
  const sparse = fc.uint8Array({ max: 1, maxLength: 40 });
  fc.assert(fc.property(sparse, (bytes) => {
    assertEquals(isZero(new Uint8Array(bytes)), bytes.every((byte) => byte === 0));
  }));
});

Deno.test("a limit holds for all flows together, and can be lifted", async () => {
  let now = 0;
  const pace = new Pace(1000, () => now);
  const order: string[] = [];
  const flow = (name: string) => pace.take(1_000_000).then(() => order.push(name));
  // The first goes at once; the next would wait for as long as that takes.
  await flow("first");
  const second = flow("second");
  const third = flow("third");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(order, ["first"]);
  now = 10;
  pace.lift();
  await Promise.all([second, third]);
  await flow("fourth");
  assertEquals(order, ["first", "second", "third", "fourth"]);
  await new Pace(null).take(1e15);
});

Deno.test("processors are compared by what programs use", () => {
  const text = "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 pti aes avx512f\n";
  const has = parseProcessor(text);
  assertEquals(has, { vendor: "AuthenticAMD", features: ["aes", "avx2", "avx512f"] });
  const less = { ...has, features: ["aes", "avx2"] };
  assertEquals(whyNotOn(has, less, "host"), null);
  assertEquals(
    whyNotOn(less, has, "host"),
    "it may use avx512f, which this host's processor has not",
  );
  assertEquals(whyNotOn(less, has, "x86-64-v3"), null, "the VMM compares what the name stands for");
  const other = whyNotOn({ ...has, vendor: "GenuineIntel" }, has, "x86-64-v3");
  assertEquals(other, "its processor is of AuthenticAMD, and this host's of GenuineIntel");
});

Deno.test("a chart has points of what goes and what changes", () => {
  let now = 0;
  const points: unknown[] = [];
  const told: number[][] = [];
  const sent: number[][] = [];
  const chart = new Chart({
    progress: (...amounts) => told.push(amounts),
    point: (point) => points.push(point),
    sent: (...bytes) => sent.push(bytes),
  }, () => now);
  const tell = (doneBytes: number, remainingBytes: number, wireBytes?: number) => {
    const rest = { phase: "moving", totalBytes: 1000, rounds: 1, wireBytes };
    chart.memory({ ...rest, doneBytes, remainingBytes });
  };
  chart.begin(500);
  chart.disks(500, 0);
  chart.disks(100, 0);
  tell(0, 1000);
  now = 1000;
  tell(600, 500, 250);
  assertEquals(points, [
    { remainingBytes: 500, bytesPerSecond: 600, changedBytesPerSecond: 100 },
  ]);
  assertEquals(told.at(-1), [1200, 1600]);
  // A VMM of an earlier release does not say in how many bytes.
  assertEquals(sent, [[600, 250]]);
});

/** A file of a few blocks, each zeros or one byte over and over, and a hole where there is nothing. */
interface Content {
  bytes: number;
  written: { position: number; length: number; byte: number }[];
}

const content: fc.Arbitrary<Content> = fc.record({
  bytes: fc.integer({ min: 1, max: 3 * BLOCK }),
  written: fc.array(
    fc.record({
      position: fc.nat(3 * BLOCK),
      length: fc.integer({ min: 1, max: 200_000 }),
      byte: fc.nat(2),
    }),
    { maxLength: 4 },
  ),
});

function writeContent(path: string, { bytes, written }: Content) {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  file.truncateSync(bytes);
  for (const { position, length, byte } of written) {
    if (position >= bytes) continue;
    file.seekSync(position, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array(Math.min(length, bytes - position)).fill(byte));
  }
}

Deno.test("what differs from another file makes that one the same, and the digest tells", async () => {
  const directory = Deno.makeTempDirSync();
  const at = (name: string) => `${directory}/${name}`;
  try {
    await fc.assert(
      fc.asyncProperty(content, content, async (mine, other) => {
        writeContent(at("mine"), mine);
        writeContent(at("base"), { ...other, bytes: Math.min(other.bytes, mine.bytes) });
        Deno.removeSync(at("copy"), { recursive: true });
        using file = new SourceFile(at("mine"));
        using base = new SourceFile(at("base"));
        using copy = new TargetFile(at("copy"), file.bytes);
        const share = (target: number, source: number) => {
          for (const _ of copyData(source, target));
          return true;
        };
        assertEquals(copy.startFrom(at("base"), share), true);
        const digest = new ContentDigest(file.bytes);
        for (const block of file.blocks(base)) {
          digest.add(block);
          for (const { position, length, bytes } of block.differences) {
            if (bytes === null) copy.zero(position, length);
            else copy.write(position, bytes);
          }
        }
        assertEquals(Deno.readFileSync(at("copy")), Deno.readFileSync(at("mine")));
        const sha256 = digest.end();
        assertEquals(await contentDigestOf(at("copy")), sha256);
        assertEquals(await contentDigestOf(at("mine")), sha256);
        copy.write(0, new Uint8Array([7]));
        assertNotEquals(await contentDigestOf(at("copy")), sha256);
      }).beforeEach(() => Deno.writeFileSync(at("copy"), new Uint8Array())),
      { numRuns: 60 },
    );
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("a file does not begin as a longer one, nor where blocks cannot be shared", () => {
  const directory = Deno.makeTempDirSync();
  try {
    Deno.writeFileSync(`${directory}/base`, new Uint8Array(5000).fill(1));
    using short = new TargetFile(`${directory}/short`, 4096);
    assertEquals(short.startFrom(`${directory}/base`, () => true), false);
    using other = new TargetFile(`${directory}/other`, 8192);
    assertEquals(other.startFrom(`${directory}/base`, () => false), false);
    assertEquals(Deno.readFileSync(`${directory}/other`), new Uint8Array(8192));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
