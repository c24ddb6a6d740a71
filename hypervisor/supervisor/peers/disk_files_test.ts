import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { isZero, SourceFile, TargetFile } from "./disk_files.ts";
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
  const chart = new Chart({
    progress: (...amounts) => told.push(amounts),
    point: (point) => points.push(point),
  }, () => now);
  const tell = (doneBytes: number, remainingBytes: number) =>
    chart.memory({ phase: "moving", doneBytes, totalBytes: 1000, rounds: 1, remainingBytes });
  chart.begin(500);
  chart.disks(500, 0);
  chart.disks(100, 0);
  tell(0, 1000);
  now = 1000;
  tell(600, 500);
  assertEquals(points, [
    { remainingBytes: 500, bytesPerSecond: 600, changedBytesPerSecond: 100 },
  ]);
  assertEquals(told.at(-1), [1200, 1600]);
});
