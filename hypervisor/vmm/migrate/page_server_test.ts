import { assertEquals, assertThrows } from "@std/assert";
import { DIRTY_PAGE_BYTES as PAGE, DirtyPages } from "../../machine/dirty_pages.ts";
import { type MemorySpec, openRam } from "../../machine/ram.ts";
import { setNonBlocking } from "../../sys/copying_io.ts";
import { close } from "../../sys/files.ts";
import { bufferAt, Mapping } from "../../sys/mapping.ts";
import { StreamPair } from "../../sys/testing/stream_pair.ts";
import { EventLoop } from "../event_loop.ts";
import { ramAreas } from "../move/ram_image.ts";
import { MigrationError } from "./frames.ts";
import { Link } from "./link.ts";
import { decodePages, encodeWant, MAX_CONTENT_BYTES } from "./page_frames.ts";
import { PageServer } from "./page_server.ts";

const PAGES = 1024;
/** As many as go at once where nobody has asked. */
const RUN = MAX_CONTENT_BYTES / PAGE;

/** Memory of which all pages follow, and somebody who asks for them. */
class Rig implements Disposable {
  readonly loop = new EventLoop();
  readonly memory: MemorySpec = openRam({ length: PAGES * PAGE, hugePages: "none" }, () => {});
  readonly pair = new StreamPair();
  readonly server: PageServer;
  readonly link: Link;
  readonly other: Link;
  /** First pages of what came, in order. */
  readonly came: number[] = [];
  error: Error | undefined;

  constructor(bytesPerSecond?: number) {
    const { loop, memory } = this;
    this.pair.fds.forEach(setNonBlocking);
    new Uint8Array(bufferAt(memory.address, memory.length)).fill(7);
    this.link = new Link(this.pair.fds[0], {
      loop,
      host: {
        frame: ({ body }) => this.server.wanted(body),
        broken: (error) => this.error = error,
        flushed: () => this.server.flushed(),
      },
    });
    this.other = new Link(this.pair.fds[1], {
      loop,
      host: {
        frame: ({ body }) => this.came.push(decodePages(body, ramAreas(memory)).offset / PAGE),
        broken: () => {},
      },
    });
    const pages = DirtyPages.of(memory.length);
    pages.add(0, memory.length);
    this.server = new PageServer(pages, { memory, loop, link: this.link, bytesPerSecond });
  }

  /** Pages are asked for, at most 512 at once. */
  ask(first: number, count: number): void {
    this.other.say("want", encodeWant(Array.from({ length: count }, (_, i) => (first + i) * PAGE)));
  }

  until(holds: () => boolean): void {
    let isLate = false;
    const cancel = this.loop.after(5000, () => isLate = true);
    this.loop.run(() => holds() || isLate);
    cancel();
    assertEquals(isLate, false);
  }

  [Symbol.dispose](): void {
    this.link.end();
    this.other.end();
    this.pair[Symbol.dispose]();
    new Mapping(this.memory.address, this.memory.length).unmap();
    close(this.memory.fd!);
  }
}

const order = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

Deno.test("what is asked for goes in that order, whether or not the rest goes too", () => {
  using rig = new Rig();
  rig.ask(500, 300);
  rig.ask(10, 5);
  rig.until(() => rig.came.length === 305);
  assertEquals(rig.came, [...order(500, 300), ...order(10, 5)]);
  rig.server.push();
  rig.until(() => rig.server.leftBytes === 0);
  assertEquals(rig.error, undefined);
});

Deno.test("while the connection takes nothing, what is asked for is kept in mind, and goes first", () => {
  using rig = new Rig();
  rig.other.lend();
  rig.server.push();
  assertEquals(rig.link.isFlushed, false);
  const { leftBytes } = rig.server;
  const first = PAGES - 300;
  rig.ask(first, 300);
  let isLater = false;
  rig.loop.after(50, () => isLater = true);
  rig.until(() => isLater);
  assertEquals(rig.server.leftBytes, leftBytes);
  rig.other.giveBack();
  rig.until(() => rig.came.includes(PAGES - 1));
  const came = rig.came.slice(0, rig.came.indexOf(PAGES - 1) + 1);
  const pushed = came.slice(0, -300);
  assertEquals(came, [...pushed, ...order(first, 300)]);
  assertEquals(pushed, order(0, pushed.length).map((run) => run * RUN));
  assertEquals(leftBytes, (PAGES - pushed.length * RUN) * PAGE);
  rig.until(() => rig.server.leftBytes === 0);
});

Deno.test("what is asked for does not wait for the limit of the rest, which goes on after it", () => {
  using rig = new Rig(8 << 20);
  rig.server.push();
  rig.until(() => rig.came.length > 0);
  rig.ask(900, 100);
  rig.until(() => rig.came.includes(999));
  rig.until(() => rig.server.leftBytes === 0);
  assertEquals(rig.error, undefined);
});

Deno.test("nobody asks for a page twice, or for one that does not follow", () => {
  using rig = new Rig();
  rig.server.wanted(encodeWant([PAGE]));
  assertThrows(
    () => rig.server.wanted(encodeWant([2 * PAGE, PAGE])),
    MigrationError,
    "it wants the page at 4096, which it has, or has asked for",
  );
});
