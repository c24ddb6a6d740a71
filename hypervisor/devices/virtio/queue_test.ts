import { assert, assertEquals, assertThrows } from "@std/assert";
import { HOLE_END, HOLE_START } from "../../machine/memory.ts";
import { checkRings, MAX_SEGMENTS, VirtQueue, type VirtQueueOptions } from "./queue.ts";
import { Driver, F_INDIRECT, F_NEXT, F_WRITE, testMemory } from "./testing/driver.ts";

const SIZE = 16;
const BASE = 0x1000;
const DATA = 0x4000;
const TABLE = 0x8000;

interface Rig {
  memory: ReturnType<typeof testMemory>;
  driver: Driver;
  queue: VirtQueue;
  violations: string[];
}

function withQueue(
  options: Partial<VirtQueueOptions> & { startAt?: number },
  run: (rig: Rig) => void,
): void {
  using memory = testMemory(0x20000);
  const eventIdx = options.eventIdx ?? false;
  const driver = new Driver(memory, { size: SIZE, base: BASE, eventIdx });
  const violations: string[] = [];
  const { startAt = 0 } = options;
  if (startAt !== 0) driver.startAt(startAt);
  const queue = new VirtQueue(memory, driver.setup, {
    maxSize: 256,
    eventIdx,
    indirect: true,
    onViolation: (reason) => violations.push(reason),
    state: { nextAvail: startAt, nextUsed: startAt },
    ...options,
  });
  run({ memory, driver, queue, violations });
}

/** The segments of the chain that was popped last. */
function segments(queue: VirtQueue): [number, number][] {
  return Array.from({ length: queue.readable + queue.writable }, (_, i) => [
    queue.offsets[i],
    queue.lengths[i],
  ]);
}

Deno.test("a chain's segments come in order, readable before writable", () => {
  withQueue({}, ({ driver, queue }) => {
    const head = driver.add([
      { address: DATA, length: 16 },
      { address: DATA + 16, length: 100 },
      { address: DATA + 500, length: 7, writable: true },
    ]);
    assertEquals(queue.pop(), head);
    assertEquals(segments(queue), [[DATA, 16], [DATA + 16, 100], [DATA + 500, 7]]);
    assertEquals([queue.readable, queue.writable], [2, 1]);
    assertEquals([queue.readableBytes, queue.writableBytes], [116, 7]);
    assertEquals(queue.pop(), -1);
    queue.push(head, 7);
    assertEquals(driver.take(), undefined);
    queue.publish();
    assertEquals(driver.take(), { head, written: 7 });
  });
});

Deno.test("an indirect table is followed, also behind direct descriptors, and its WRITE flag is ignored", () => {
  withQueue({}, ({ driver, queue }) => {
    driver.describe(0, { address: DATA, length: 4, flags: F_NEXT, next: 1 });
    driver.describe(1, { address: TABLE, length: 32, flags: F_INDIRECT | F_WRITE, next: 0 });
    driver.describe(0, { address: DATA + 4, length: 8, flags: F_NEXT, next: 1 }, TABLE);
    driver.describe(1, { address: DATA + 64, length: 1, flags: F_WRITE, next: 0 }, TABLE);
    driver.offer(0);
    assertEquals(queue.pop(), 0);
    assertEquals(segments(queue), [[DATA, 4], [DATA + 4, 8], [DATA + 64, 1]]);
  });
});

Deno.test("indices wrap around at 65536", () => {
  withQueue({ startAt: 65530 }, ({ driver, queue }) => {
    for (let i = 0; i < 20; i++) {
      const head = driver.add([{ address: DATA, length: 1 }]);
      assertEquals(queue.pop(), head);
      queue.push(head, i);
      assert(queue.publish());
      assertEquals(driver.take(), { head, written: i });
    }
    assertEquals(queue.state, { nextAvail: 14, nextUsed: 14 });
  });
});

Deno.test("a full queue is drained and returned in any order", () => {
  withQueue({}, ({ driver, queue }) => {
    const heads = Array.from({ length: SIZE }, () => driver.add([{ address: DATA, length: 1 }]));
    const popped = heads.map(() => queue.pop());
    assertEquals(popped, heads);
    assertEquals(queue.inFlight, SIZE);
    for (const head of popped.reverse()) queue.push(head, 0);
    queue.publish();
    assertEquals(driver.takeAll().map(({ head }) => head), popped);
    assertEquals(queue.inFlight, 0);
  });
});

Deno.test("RAM behind the hole below 4 GiB is reached, the hole and what straddles it is not", () => {
  using memory = testMemory(HOLE_START + 0x10000);
  const driver = new Driver(memory, { size: SIZE, base: BASE });
  const queue = new VirtQueue(memory, driver.setup, {
    maxSize: 256,
    eventIdx: false,
    indirect: true,
    onViolation: () => {},
  });
  const high = driver.add([{ address: HOLE_END + 0x100, length: 0x100 }]);
  driver.add([{ address: HOLE_START, length: 1 }]);
  driver.add([{ address: HOLE_START - 8, length: 16 }]);
  driver.add([{ address: HOLE_END - 8, length: 16 }]);
  driver.add([{ address: HOLE_END + 0xffff, length: 2 }]);
  assertEquals(queue.pop(), high);
  assertEquals(segments(queue), [[HOLE_START + 0x100, 0x100]]);
  assertEquals(queue.pop(), -1);
  assertEquals(queue.rejected, 4);
});

Deno.test("input 2: a size that is no power of two, 0 or too large, and rings that are misaligned or not in RAM are refused", () => {
  using memory = testMemory(0x20000);
  const good = { index: 3, size: 8, desc: 0x1000, avail: 0x2000, used: 0x3000 };
  const refused = (change: Partial<typeof good>, why: string) =>
    assertThrows(
      () => checkRings(memory, { ...good, ...change }, { maxSize: 256 }),
      RangeError,
      why,
    );
  assertEquals(checkRings(memory, good, { maxSize: 256 }), good);
  for (const size of [0, 3, 6, 512, 65536, -8, 1.5, NaN]) {
    refused({ size }, `Cannot activate queue 3: its size ${size} is not a power of two up to 256`);
  }
  refused({ desc: 0x1008 }, "the descriptor table at 0x1008 is not aligned to 16");
  refused({ avail: 0x2001 }, "the available ring at 0x2001 is not aligned to 2");
  refused({ used: 0x3002 }, "the used ring at 0x3002 is not aligned to 4");
  refused({ desc: 0x20000 - 64 }, "the descriptor table at 0x1ffc0 (128 bytes) is not in RAM");
  refused({ avail: 0x20000 - 2 }, "is not in RAM");
  refused({ used: 2 ** 63 }, "is not in RAM");
  assertEquals(checkRings(memory, { ...good, desc: 0x20000 - 128 }, { maxSize: 8 }).size, 8);
});

/** What each malformed chain looks like; each comes back with length 0, and the next one is served. */
const MALFORMED: Record<string, (rig: Rig) => void> = {
  "input 4: a descriptor that is its own next": ({ driver }) =>
    driver.describe(0, { address: DATA, length: 1, flags: F_NEXT, next: 0 }),
  "input 4: a loop of two": ({ driver }) => {
    driver.describe(0, { address: DATA, length: 1, flags: F_NEXT, next: 1 });
    driver.describe(1, { address: DATA, length: 1, flags: F_NEXT, next: 0 });
  },
  "input 4: a loop of empty descriptors": ({ driver }) =>
    driver.describe(0, { address: DATA, length: 0, flags: F_NEXT, next: 0 }),
  "input 4: a next outside the table": ({ driver }) =>
    driver.describe(0, { address: DATA, length: 1, flags: F_NEXT, next: SIZE }),
  "input 4: a loop in an indirect table": ({ driver }) => {
    driver.describe(0, { address: TABLE, length: 32, flags: F_INDIRECT, next: 0 });
    driver.describe(0, { address: DATA, length: 1, flags: F_NEXT, next: 1 }, TABLE);
    driver.describe(1, { address: DATA, length: 1, flags: F_NEXT, next: 0 }, TABLE);
  },
  "input 4: a next outside an indirect table": ({ driver }) => {
    driver.describe(0, { address: TABLE, length: 32, flags: F_INDIRECT, next: 0 });
    driver.describe(0, { address: DATA, length: 1, flags: F_NEXT, next: 2 }, TABLE);
  },
  "input 5: an indirect table in an indirect table": ({ driver }) => {
    driver.describe(0, { address: TABLE, length: 16, flags: F_INDIRECT, next: 0 });
    driver.describe(0, { address: TABLE + 64, length: 16, flags: F_INDIRECT, next: 0 }, TABLE);
  },
  "input 5: an indirect table of 17 bytes": ({ driver }) =>
    driver.describe(0, { address: TABLE, length: 17, flags: F_INDIRECT, next: 0 }),
  "input 5: an indirect table of 0 bytes": ({ driver }) =>
    driver.describe(0, { address: TABLE, length: 0, flags: F_INDIRECT, next: 0 }),
  "input 5: an oversized indirect table": ({ driver }) => {
    const length = 16 * (MAX_SEGMENTS + 1);
    driver.describe(0, { address: TABLE, length, flags: F_INDIRECT, next: 0 });
  },
  "input 5: an indirect table that is not in RAM": ({ driver }) =>
    driver.describe(0, { address: 0x20000 - 16, length: 32, flags: F_INDIRECT, next: 0 }),
  "an indirect table with a next": ({ driver }) =>
    driver.describe(0, { address: TABLE, length: 16, flags: F_INDIRECT | F_NEXT, next: 1 }),
  "a readable segment after a writable one": ({ driver }) => {
    driver.describe(0, { address: DATA, length: 1, flags: F_NEXT | F_WRITE, next: 1 });
    driver.describe(1, { address: DATA, length: 1, flags: 0, next: 0 });
  },
  "input 10: a segment that ends behind RAM": ({ driver }) =>
    driver.describe(0, { address: 0x20000 - 1, length: 2, flags: 0, next: 0 }),
  "input 10: an address whose end wraps around": ({ driver, memory }) => {
    driver.describe(0, { address: 0, length: 0xffff_ffff, flags: 0, next: 0 });
    memory.view.setBigUint64(BASE, 0xffff_ffff_ffff_ff00n, true);
  },
};

for (const [name, prepare] of Object.entries(MALFORMED)) {
  Deno.test(`${name} comes back with length 0 and the next chain is served`, () => {
    withQueue({}, (rig) => {
      const { driver, queue, violations } = rig;
      prepare(rig);
      driver.offer(0);
      driver.describe(9, { address: DATA, length: 5, flags: 0, next: 0 });
      driver.offer(9);
      assertEquals(queue.pop(), 9);
      assertEquals(queue.rejected, 1);
      queue.push(9, 0);
      queue.publish();
      assertEquals(driver.takeAll(), [{ head: 0, written: 0 }, { head: 9, written: 0 }]);
      assertEquals(violations, []);
    });
  });
}

Deno.test("an indirect table is refused unless it was negotiated", () => {
  withQueue({ indirect: false }, ({ driver, queue }) => {
    driver.add([{ address: DATA, length: 1 }], { indirectTable: TABLE });
    assertEquals(queue.pop(), -1);
    assertEquals(queue.rejected, 1);
  });
});

Deno.test("input 9: a chain whose overlapping segments add up to 4 GiB is refused", () => {
  using memory = testMemory(2 ** 30);
  const driver = new Driver(memory, { size: SIZE, base: BASE });
  const queue = new VirtQueue(memory, driver.setup, {
    maxSize: 256,
    eventIdx: false,
    indirect: true,
    onViolation: () => {},
  });
  const part = { address: 0, length: 2 ** 30 };
  driver.add([part, part, part, part]);
  const just = driver.add([part, part, part, { address: 0, length: 2 ** 30 - 1 }]);
  assertEquals(queue.pop(), just);
  assertEquals(queue.readableBytes, 2 ** 32 - 1);
  assertEquals(queue.rejected, 1);
});

Deno.test("an available index that jumps by more than the size stops the queue", () => {
  withQueue({}, ({ driver, queue, violations }) => {
    driver.setAvailIndex(SIZE + 1);
    assertEquals(queue.pop(), -1);
    assertEquals(violations, ["queue 0: available index 17 is 17 ahead of a queue of 16"]);
    assert(queue.broken);
    driver.setAvailIndex(0);
    driver.add([{ address: DATA, length: 1 }]);
    assertEquals(queue.pop(), -1);
    assertEquals(violations.length, 1);
    assertEquals(queue.enableNotifications(), false);
  });
});

Deno.test("an available index that goes backwards stops the queue", () => {
  withQueue({ startAt: 5 }, ({ driver, queue, violations }) => {
    driver.setAvailIndex(4);
    assertEquals(queue.pop(), -1);
    assertEquals(violations.length, 1);
  });
});

Deno.test("a head outside the table stops the queue", () => {
  withQueue({}, ({ driver, queue, violations }) => {
    driver.offer(SIZE);
    assertEquals(queue.pop(), -1);
    assertEquals(violations, ["queue 0: head 16 is outside the descriptor table"]);
  });
});

Deno.test("input 6: a head that is made available twice in flight stops the queue, and is returned once", () => {
  withQueue({}, ({ driver, queue, violations }) => {
    const head = driver.add([{ address: DATA, length: 1 }]);
    driver.offer(head);
    assertEquals(queue.pop(), head);
    assertEquals(queue.pop(), -1);
    assertEquals(violations.length, 1);
    queue.push(head, 0);
    assertThrows(() => queue.push(head, 0), Error, "not in flight");
  });
});

Deno.test("input 10: a descriptor that changes after it was read does not change the chain", () => {
  withQueue({}, ({ driver, queue }) => {
    driver.describe(0, { address: DATA, length: 16, flags: 0, next: 0 });
    driver.offer(0);
    queue.pop();
    driver.describe(0, { address: 2 ** 40, length: 2 ** 31, flags: F_WRITE, next: 0 });
    assertEquals(segments(queue), [[DATA, 16]]);
    assertEquals([queue.readable, queue.writable], [1, 0]);
  });
});

Deno.test("without EVENT_IDX, the driver's flag decides about interrupts", () => {
  withQueue({}, ({ driver, queue }) => {
    const one = () => {
      driver.add([{ address: DATA, length: 1 }]);
      queue.push(queue.pop(), 0);
      return queue.publish();
    };
    assertEquals(one(), true);
    driver.setAvailFlags(1);
    assertEquals(one(), false);
    driver.setAvailFlags(0);
    assertEquals(queue.publish(), false);
    assertEquals(one(), true);
  });
});

Deno.test("with EVENT_IDX, an interrupt is wanted when used_event is passed, across the wrap too", () => {
  for (const startAt of [0, 65534]) {
    withQueue({ eventIdx: true, startAt }, ({ driver, queue }) => {
      const some = (n: number) => {
        for (let i = 0; i < n; i++) {
          driver.add([{ address: DATA, length: 1 }]);
          queue.push(queue.pop(), 0);
        }
        const wanted = queue.publish();
        driver.takeAll();
        return wanted;
      };
      // The flag means nothing here (section 2.7.7.2).
      driver.setAvailFlags(1);
      driver.setUsedEvent(startAt);
      assertEquals(some(1), true);
      assertEquals(some(1), false);
      driver.setUsedEvent((startAt + 4) & 0xffff);
      assertEquals(some(2), false);
      assertEquals(some(3), true);
    });
  }
});

for (const eventIdx of [false, true]) {
  Deno.test(`a chain that is added while notifications are off is not lost (EVENT_IDX ${eventIdx})`, () => {
    withQueue({ eventIdx }, ({ driver, queue }) => {
      driver.add([{ address: DATA, length: 1 }]);
      queue.disableNotifications();
      queue.push(queue.pop(), 0);
      assertEquals(queue.pop(), -1);
      // Added after the last look, before notifications are on again: the driver does not notify.
      const before = driver.availIndex;
      const late = driver.add([{ address: DATA, length: 1 }]);
      assertEquals(driver.wantsKick(before), false);
      assertEquals(queue.enableNotifications(), true);
      assertEquals(queue.pop(), late);
      assertEquals(queue.enableNotifications(), false);
      const later = driver.availIndex;
      driver.add([{ address: DATA, length: 1 }]);
      assertEquals(driver.wantsKick(later), true);
    });
  });
}

Deno.test("a queue goes on where its saved state says", () => {
  withQueue({}, ({ memory, driver, queue }) => {
    for (let i = 0; i < 5; i++) {
      driver.add([{ address: DATA, length: 1 }]);
      queue.push(queue.pop(), 0);
    }
    queue.publish();
    driver.takeAll();
    const head = driver.add([{ address: DATA, length: 1 }]);
    const copy = new VirtQueue(memory, driver.setup, {
      maxSize: 256,
      eventIdx: false,
      indirect: true,
      onViolation: () => {},
      state: queue.state,
    });
    assertEquals(copy.pop(), head);
    copy.push(head, 3);
    copy.publish();
    assertEquals(driver.take(), { head, written: 3 });
  });
});
