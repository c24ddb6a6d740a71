import { assertEquals } from "@std/assert";
import { DIRTY_PAGE_BYTES, DirtyPages } from "../../machine/dirty_pages.ts";
import { VirtQueue } from "./queue.ts";
import { type Buffer, Driver, F_WRITE, testMemory } from "./testing/driver.ts";

/** So many that the used ring begins on a page of its own. */
const SIZE = 256;
const BASE = 0x1000;
const USED_PAGE = 2;
const LENGTH = 0x100000;
const page = (n: number) => n * DIRTY_PAGE_BYTES;

interface Rig {
  driver: Driver;
  queue: VirtQueue;
  /** The pages that were marked since it was last asked. */
  marked(): number[];
}

function withQueue(options: { eventIdx?: boolean; tracks?: boolean }, run: (rig: Rig) => void) {
  const { eventIdx = false, tracks = true } = options;
  using memory = testMemory(LENGTH);
  const driver = new Driver(memory, { size: SIZE, base: BASE, eventIdx });
  assertEquals(Math.floor(driver.setup.used / DIRTY_PAGE_BYTES), USED_PAGE);
  const queue = new VirtQueue(memory, driver.setup, {
    maxSize: SIZE,
    eventIdx,
    indirect: true,
    onViolation: (reason) => {
      throw new Error(reason);
    },
  });
  if (tracks) memory.changes = DirtyPages.of(LENGTH);
  run({
    driver,
    queue,
    marked() {
      const set = memory.changes ?? DirtyPages.of(LENGTH);
      const pages = Array.from({ length: LENGTH / DIRTY_PAGE_BYTES }, (_, n) => n)
        .filter((n) => set.has(n));
      set.clear();
      return pages;
    },
  });
}

const BUFFERS: Buffer[] = [
  { address: page(16), length: 100 },
  { address: page(20) - 1, length: 2, writable: true },
  { address: page(30), length: DIRTY_PAGE_BYTES, writable: true },
];
const WRITTEN = [19, 20, 30];

for (const indirectTable of [undefined, page(40)]) {
  const title = indirectTable === undefined ? "" : ", through an indirect table";
  Deno.test(`a chain that returns marks all that was writable, and the used ring${title}`, () => {
    withQueue({}, ({ driver, queue, marked }) => {
      const head = driver.add(BUFFERS, { indirectTable });
      queue.pop();
      assertEquals(marked(), []);
      // Whatever it says of how much it wrote.
      queue.push(head, 0);
      assertEquals(marked(), [USED_PAGE, ...WRITTEN]);
      queue.publish();
      assertEquals(marked(), [USED_PAGE]);
    });
  });
}

Deno.test("each chain in flight is marked when it returns, or when it is given up", () => {
  withQueue({}, ({ driver, queue, marked }) => {
    const heads = [50, 60, 70].map((n) =>
      driver.add([{ address: page(n), length: 1, writable: true }])
    );
    for (const head of heads) assertEquals(queue.pop(), head);
    queue.push(heads[1], 1);
    assertEquals(marked(), [USED_PAGE, 60]);
    queue.abandon();
    assertEquals(marked(), [50, 70]);
  });
});

for (const eventIdx of [false, true]) {
  Deno.test(`what asks for notifications is marked${eventIdx ? ", with EVENT_IDX" : ""}`, () => {
    withQueue({ eventIdx }, ({ queue, marked }) => {
      queue.disableNotifications();
      assertEquals(marked(), eventIdx ? [] : [USED_PAGE]);
      queue.enableNotifications();
      assertEquals(marked(), [USED_PAGE]);
    });
  });
}

Deno.test("descriptors that a driver changes in flight mark nothing outside of RAM, and end", () => {
  withQueue({}, ({ driver, queue, marked }) => {
    const around = { length: 16, flags: F_WRITE | 1 };
    const cases = [
      { address: LENGTH - 1, length: 2, flags: F_WRITE },
      { address: 2 ** 60, length: 16, flags: 4 },
      { address: 2 ** 60, length: 1, flags: F_WRITE },
      // Around in circles, or to a table that is its own.
      { address: page(90), ...around },
      { address: BASE, length: 16 * SIZE, flags: 4 },
    ];
    for (const descriptor of cases) {
      const head = driver.add([{ address: page(80), length: 8, writable: true }]);
      queue.pop();
      driver.describe(head, { ...descriptor, next: head });
      queue.push(head, 8);
      const isCircle = descriptor.flags === around.flags;
      assertEquals(marked(), isCircle ? [USED_PAGE, 90] : [USED_PAGE]);
      queue.publish();
      driver.takeAll();
      marked();
    }
  });
});

Deno.test("while nobody wants to know, nothing is marked", () => {
  withQueue({ tracks: false }, ({ driver, queue, marked }) => {
    const head = driver.add(BUFFERS);
    queue.pop();
    queue.push(head, 1);
    queue.publish();
    queue.abandon();
    assertEquals(marked(), []);
  });
});
