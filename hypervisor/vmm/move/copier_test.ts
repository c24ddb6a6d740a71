import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DirtyPages } from "../../machine/dirty_pages.ts";
import { type Changes, type CopyControl, RamCopier, type RoundProgress } from "./copier.ts";
import { FileSink } from "./file_sink.ts";
import { RamImage } from "./ram_image.ts";
import type { RamSink } from "./sink.ts";
import { MovedMemory, PAGE, TestFile } from "./testing/memory.ts";

const MiB = 2 ** 20;
const PAGES = MiB / PAGE;

/** A guest that writes when the test says so, and what tells of it. */
class Writer implements Changes {
  readonly memory: MovedMemory;
  readonly changes = DirtyPages.of(MiB);

  constructor(memory: MovedMemory) {
    this.memory = memory;
  }

  write(page: number, count: number, value: number): void {
    this.memory.write(page, count, value);
    this.changes.add(page * PAGE, count * PAGE);
  }

  collect(into: DirtyPages): void {
    this.changes.moveTo(into);
  }

  forget(): void {
    this.changes.clear();
  }

  giveBack(pages: DirtyPages): void {
    this.changes.merge(pages);
  }
}

interface Rig {
  memory: MovedMemory;
  writer: Writer;
  file: TestFile;
  rounds: RoundProgress[];
  /** Copies; what the guest does meanwhile are the control's. */
  copy(control?: Partial<CopyControl>, options?: { full?: boolean; sink?: Partial<RamSink> }): void;
}

function withMemory(run: (rig: Rig) => void): void {
  using memory = new MovedMemory({ length: MiB });
  using file = new TestFile();
  const writer = new Writer(memory);
  const rounds: RoundProgress[] = [];
  run({
    memory,
    writer,
    file,
    rounds,
    copy(control = {}, { full = true, sink: changed = {} } = {}) {
      const image = new RamImage(memory.spec);
      const sink = new FileSink({ fd: file.fd, address: image.address, length: MiB, isNew: full });
      Object.assign(sink, changed);
      let isFinishing = false;
      const all: CopyControl = {
        allowedPauseMs: 0,
        get isFinishing() {
          return isFinishing;
        },
        pace: () => {},
        round: (progress) => rounds.push(progress),
        ready: () => isFinishing = true,
        stalled: () => {},
      };
      Object.defineProperties(all, Object.getOwnPropertyDescriptors(control));
      try {
        new RamCopier({
          image,
          sink,
          changes: writer,
          control: all,
          sets: [DirtyPages.of(MiB), DirtyPages.of(MiB)],
          full,
        }).run();
      } finally {
        sink.close();
        image.close();
      }
    },
  });
}

Deno.test("memory that nobody changes is copied in one round and an empty one", () => {
  withMemory(({ memory, file, rounds, copy }) => {
    memory.write(3, 20, 1);
    memory.write(200, 1, 2);
    memory.write(210, 4, 0);
    copy();
    assertEquals(file.taken, 21 * PAGE);
    assertEquals(file.read(MiB), memory.bytes);
    assertEquals(rounds.map(({ bytes }) => bytes / PAGE), [25, 0]);
  });
});

const write = fc.record({
  page: fc.nat(PAGES - 1),
  count: fc.integer({ min: 1, max: 20 }),
  value: fc.oneof({ weight: 3, arbitrary: fc.nat(255) }, { weight: 1, arbitrary: fc.constant(0) }),
}).map((one) => ({ ...one, count: Math.min(one.count, PAGES - one.page) }));
const writes = fc.array(write, { maxLength: 6 });

Deno.test("whatever is written while it is copied, the copy is what there is in the end", () => {
  const cases = fc.tuple(writes, fc.array(writes, { maxLength: 8 }), fc.boolean());
  fc.assert(
    fc.property(cases, ([first, meanwhile, again]) => {
      withMemory(({ memory, writer, file, copy }) => {
        for (const { page, count, value } of first) memory.write(page, count, value);
        const rest = [...meanwhile];
        const go = () => rest.shift()?.forEach((w) => writer.write(w.page, w.count, w.value));
        let isFinishing = false;
        const control = {
          get isFinishing() {
            return isFinishing;
          },
          pace: () => {
            if (!isFinishing) go();
          },
          ready: () => {
            go();
            isFinishing = true;
          },
          round: () => {
            if (rest.length === 0) isFinishing = true;
          },
        };
        copy(control);
        assertEquals(file.read(MiB), memory.bytes);
        if (!again) return;
        // What has changed since, into the same file.
        isFinishing = false;
        rest.push(...meanwhile.toReversed());
        copy(control, { full: false });
        assertEquals(file.read(MiB), memory.bytes);
      });
    }),
    { numRuns: 60 },
  );
});

Deno.test("a page that becomes zeros leaves the file again", () => {
  withMemory(({ memory, writer, file, copy }) => {
    memory.write(10, 10, 1);
    copy({
      ready() {
        writer.write(12, 3, 0);
        Object.defineProperty(this, "isFinishing", { value: true });
      },
    });
    assertEquals(file.taken, 7 * PAGE);
    assertEquals(file.read(MiB), memory.bytes);
  });
});

Deno.test("a copy that fails gives back what it took", () => {
  withMemory(({ writer, copy }) => {
    writer.write(10, 10, 1);
    const none = () => {
      throw new Error("There is no room");
    };
    assertThrows(() => copy({}, { full: false, sink: { data: none } }), Error, "no room");
    assertEquals(writer.changes.count, 10);
    let rounds = 0;
    const cancel = () => {
      if (++rounds === 3) throw new Error("It was cancelled");
      writer.write(50 + rounds, 1, 1);
    };
    assertThrows(() => copy({ round: cancel }, { full: false }), Error, "cancelled");
    assertEquals(writer.changes.count, 12);
  });
});

Deno.test("a guest that writes as fast as it is copied is told of, until it is stopped", () => {
  withMemory(({ memory, writer, file, copy }) => {
    memory.write(0, 100, 1);
    const stalls: number[] = [];
    let isFinishing = false;
    let value = 0;
    copy({
      get isFinishing() {
        return isFinishing;
      },
      pace: () => {
        if (!isFinishing) writer.write(0, 100, ++value);
      },
      stalled(count) {
        stalls.push(count);
        if (count === 4) isFinishing = true;
      },
    });
    assertEquals(stalls, [1, 2, 3, 4]);
    assertEquals(file.read(MiB), memory.bytes);
  });
});

Deno.test("rounds end when the rest fits the pause at the rate that was measured", () => {
  using memory = new MovedMemory({ length: MiB });
  memory.write(0, 256, 1);
  const writer = new Writer(memory);
  const image = new RamImage(memory.spec);
  let now = 0;
  let sentBytes = 0;
  // A page takes a millisecond.
  const sink: RamSink = {
    mostBytes: PAGE,
    get sentBytes() {
      return sentBytes;
    },
    wireBytes: 0,
    round: () => {},
    data: (_offset, length) => {
      sentBytes += length;
      now += length / PAGE;
    },
    zero: () => {},
    flush: () => {},
    end: () => {},
    settle: () => {},
    close: () => {},
  };
  const rounds: RoundProgress[] = [];
  let changing = 200;
  let readyAt = 0;
  let isFinishing = false;
  new RamCopier({
    image,
    sink,
    changes: writer,
    control: {
      allowedPauseMs: 30,
      get isFinishing() {
        return isFinishing;
      },
      // Half as long again is spent waiting for a limit, which says nothing about the rate.
      pace: () => now += 0.5,
      round: (progress) => {
        rounds.push(progress);
        writer.write(0, changing, rounds.length);
        changing = Math.floor(changing / 2);
      },
      ready: () => {
        readyAt = rounds.length;
        isFinishing = true;
      },
      stalled: () => assert(false, "it gets on"),
    },
    sets: [DirtyPages.of(MiB), DirtyPages.of(MiB)],
    full: true,
    now: () => now,
  }).run();
  assertEquals(rounds.map(({ bytes }) => bytes / PAGE), [256, 200, 100, 50, 25]);
  // 25 pages are the first that fit 30 ms; what was written when the last round began is told next time.
  assertEquals(readyAt, 4);
  assertEquals(rounds.slice(1).map((r) => Math.round(r.bytesPerSecond / PAGE)), [
    1000,
    1000,
    1000,
    1000,
  ]);
  // 200 pages in 256 ms, and half as many for waiting.
  assertEquals(Math.round(rounds[1].changedBytesPerSecond / PAGE), Math.round(200 / 384.5 * 1000));
  image.close();
});

Deno.test("what fits the pause is sent before it, for as long as that makes it shorter", () => {
  const roundsOf = (writes: readonly number[]) => {
    let pages: number[] = [];
    withMemory(({ memory, writer, file, rounds, copy }) => {
      memory.write(0, 200, 1);
      const round = (progress: RoundProgress) => {
        rounds.push(progress);
        const count = writes[progress.number] ?? 0;
        if (count > 0) writer.write(0, count, progress.number);
      };
      // What was measured is not even looked at.
      copy({ allowedPauseMs: Infinity, round });
      assertEquals(file.read(MiB), memory.bytes);
      pages = rounds.map(({ bytes }) => bytes / PAGE);
    });
    return pages;
  };
  assertEquals(roundsOf([]), [200, 0]);
  // The last one's writes are a stopped guest's no more.
  assertEquals(roundsOf([90, 20]), [200, 90, 20]);
  assertEquals(roundsOf([150, 100]), [200, 150]);
});

Deno.test("what a guest changes as fast as it is copied follows, and what follows is what the copy lacks", () => {
  withMemory(({ memory, writer, file, rounds, copy }) => {
    memory.write(0, 100, 1);
    const following: DirtyPages[] = [];
    let isReady = false;
    const control = {
      mayFollow: true,
      round(progress: RoundProgress) {
        rounds.push(progress);
        // All of it again, and less of it once more.
        if (progress.number < 2) writer.write(0, 100, 2 + progress.number);
      },
      ready() {
        isReady = true;
        writer.write(50, 100, 9);
      },
    };
    copy(control, { sink: { follow: (pages: DirtyPages) => following.push(pages) } });
    assert(isReady);
    assertEquals(rounds.map(({ bytes }) => bytes / PAGE), [100]);
    const [pages] = following;
    assertEquals(pages.count, 150);
    const copied = file.read(MiB);
    for (let page = 0; page < PAGES; page++) {
      const [from, to] = [page * PAGE, (page + 1) * PAGE];
      if (!pages.has(page)) assertEquals(copied.slice(from, to), memory.bytes.slice(from, to));
    }
  });
});

Deno.test("what gets less is copied, and follows only if it does so for too long", () => {
  withMemory(({ memory, writer, file, copy }) => {
    memory.write(0, 200, 1);
    let count = 0;
    // Half of it again each time.
    const round = ({ number }: RoundProgress) => {
      const left = 200 >> number + 1;
      if (left > 0) writer.write(0, left, number);
    };
    const sink = { follow: () => count++ };
    copy({ mayFollow: true, round }, { sink });
    assertEquals([count, file.read(MiB)], [0, memory.bytes]);
    const slowly = ({ number }: RoundProgress) => {
      writer.write(0, 200 - 25 * Math.min(number, 7), number);
    };
    copy({ mayFollow: true, round: slowly }, { sink });
    assertEquals(count, 1);
  });
});
