import { assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { setNonBlocking } from "../../sys/copying_io.ts";
import { close, length } from "../../sys/files.ts";
import { memfd } from "../../sys/mapping.ts";
import { receive, send } from "../../sys/unix_sockets.ts";
import { StreamPair } from "../../sys/testing/stream_pair.ts";
import { EventLoop } from "../event_loop.ts";
import { encodeFrame, encodeReason, type Frame } from "./frames.ts";
import { Link } from "./link.ts";

class Rig implements Disposable {
  readonly loop = new EventLoop();
  readonly pair = new StreamPair();
  readonly frames: Frame[] = [];
  readonly link: Link;
  readonly descriptors: number[] = [];
  error: Error | undefined;
  flushed = 0;
  isGone: boolean | undefined;
  heard: (frame: Frame) => void = () => {};

  constructor() {
    this.pair.fds.forEach(setNonBlocking);
    this.link = new Link(this.pair.fds[0], {
      loop: this.loop,
      host: {
        frame: (frame) => {
          this.frames.push(frame);
          this.heard(frame);
        },
        broken: (error, isGone) => {
          this.error = error;
          this.isGone = isGone;
        },
        flushed: () => this.flushed++,
      },
      descriptors: this.descriptors,
    });
  }

  /** Goes round until it holds, or for long enough. */
  until(holds: () => boolean): void {
    let isLate = false;
    const cancel = this.loop.after(5000, () => isLate = true);
    this.loop.run(() => holds() || isLate);
    cancel();
    assertEquals(isLate, false);
  }

  [Symbol.dispose](): void {
    this.link.end();
    this.pair[Symbol.dispose]();
  }
}

Deno.test("frames come whole and in order, however they are cut", () => {
  const message = fc.string({ maxLength: 60 });
  const cases = fc.tuple(
    fc.array(message, { maxLength: 8 }),
    fc.array(fc.integer({ min: 1, max: 40 })),
  );
  fc.assert(
    fc.property(cases, ([words, cuts]) => {
      using rig = new Rig();
      const bytes = words.flatMap((it) => [...encodeFrame("failed", encodeReason(it))]);
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const n = cuts[i] ?? bytes.length;
        send(rig.pair.fds[1], Uint8Array.from(bytes.slice(at, at + n)));
        at += n;
        let turned = false;
        rig.loop.after(0, () => turned = true);
        rig.until(() => turned);
      }
      rig.until(() => rig.frames.length === words.length);
      assertEquals(rig.frames.map(({ body }) => body), words.map(encodeReason));
    }),
    { numRuns: 30 },
  );
});

Deno.test("what is behind a frame is left to whom the connection is lent", () => {
  using rig = new Rig();
  rig.heard = () => rig.link.lend();
  const behind = Uint8Array.of(1, 2, 3);
  send(rig.pair.fds[1], Uint8Array.from([...encodeFrame("welcome"), ...behind]));
  rig.until(() => rig.frames.length === 1);
  const into = new Uint8Array(10);
  assertEquals(receive(rig.pair.fds[0], into), 3);
  assertEquals(into.subarray(0, 3), behind);
  send(rig.pair.fds[1], encodeFrame("ready"));
  rig.link.giveBack();
  rig.until(() => rig.frames.length === 2);
});

Deno.test("more than the connection takes at once is said all the same", () => {
  using rig = new Rig();
  const body = new Uint8Array(3 << 20).fill(7);
  rig.link.say("state", body);
  assertEquals(rig.link.isFlushed, false);
  let got = 0;
  const into = new Uint8Array(1 << 16);
  rig.until(() => {
    const n = receive(rig.pair.fds[1], into);
    if (n > 0) got += n;
    rig.loop.after(0, () => {});
    return got === encodeFrame("state", body).length;
  });
  rig.until(() => rig.link.isFlushed);
});

Deno.test("who says much, and goes on saying it, does not keep others from being looked at", () => {
  using rig = new Rig();
  const go = encodeFrame("go");
  const heardFirst = (bytes: Uint8Array<ArrayBuffer>) => {
    rig.frames.length = 0;
    send(rig.pair.fds[1], bytes);
    // It says one more as soon as one is heard.
    rig.heard = () => rig.frames.length < 1000 && send(rig.pair.fds[1], bytes);
    let heard: number | undefined;
    rig.loop.after(0, () => heard = rig.frames.length);
    rig.until(() => heard !== undefined);
    rig.until(() => rig.frames.length === 1000);
    return heard;
  };
  assertEquals(heardFirst(go), 16);
  // With their headers, 16 of them are more than 1 MiB.
  assertEquals(heardFirst(encodeFrame("pages", new Uint8Array(64 << 10))), 15);
});

Deno.test("that all has gone is told also where what is said later takes the rest along", () => {
  const fill = (rig: Rig) => {
    while (rig.link.isFlushed) rig.link.say("state", new Uint8Array(1 << 16));
  };
  const drain = (fd: number) => {
    const into = new Uint8Array(1 << 20);
    while (receive(fd, into) > 0);
  };
  const saysOnceThereIsRoom = (rig: Rig) => {
    drain(rig.pair.fds[1]);
    rig.link.say("go");
    assertEquals([rig.link.isFlushed, rig.flushed], [true, 0]);
  };
  {
    using rig = new Rig();
    fill(rig);
    saysOnceThereIsRoom(rig);
    rig.until(() => rig.flushed > 0);
    assertEquals(rig.flushed, 1);
  }
  // As an answer, which was also what there was no room for.
  using rig = new Rig();
  rig.heard = () => {
    fill(rig);
    saysOnceThereIsRoom(rig);
  };
  send(rig.pair.fds[1], encodeFrame("ready"));
  rig.until(() => rig.flushed > 0);
  assertEquals(rig.flushed, 1);
});

Deno.test("who is gone, or cannot be understood, is told of once", () => {
  {
    using rig = new Rig();
    rig.pair.close(1);
    rig.until(() => rig.error !== undefined);
    assertEquals(rig.error?.message, "The other VMM is gone");
    assertEquals(rig.link.isOpen, false);
    rig.link.say("go");
  }
  using rig = new Rig();
  send(rig.pair.fds[1], new Uint8Array(16).fill(9));
  rig.until(() => rig.error !== undefined);
  assertMatch(rig.error!.message, /^Cannot understand the other VMM: bad magic/);
});

Deno.test("descriptors come with the frame that they were said with", () => {
  using rig = new Rig();
  const files = [memfd("first", 1), memfd("second", 2), memfd("third", 3)];
  const kept: number[][] = [];
  rig.heard = () => kept.push(rig.descriptors.splice(0));
  const peer = new Link(rig.pair.fds[1], {
    loop: rig.loop,
    host: { frame: () => {}, broken: () => {} },
  });
  peer.say("files", undefined, files.slice(0, 2));
  peer.say("state", new Uint8Array(100_000), files.slice(2));
  rig.until(() => rig.frames.length === 2);
  assertEquals(kept.map((fds) => fds.map(length)), [[1, 2], [3]]);
  [...files, ...kept.flat()].forEach(close);
  peer.end();
});

Deno.test("who is gone is told from who was cut off in the middle, or speaks of nothing known", () => {
  const heard = (bytes: Uint8Array<ArrayBuffer>, unread = false) => {
    using rig = new Rig();
    // What nobody has read, the kernel tells of as a connection that was reset.
    if (unread) rig.link.say("go");
    send(rig.pair.fds[1], bytes);
    rig.pair.close(1);
    rig.until(() => rig.error !== undefined);
    return [rig.frames.map(({ kind }) => kind), rig.isGone];
  };
  const runs = encodeFrame("runs");
  assertEquals(heard(runs), [["runs"], true]);
  assertEquals(heard(runs, true), [["runs"], true]);
  assertEquals(heard(runs.slice(0, 5)), [[], false]);
  assertEquals(heard(encodeFrame("failed", encodeReason("why")).slice(0, -1)), [[], false]);
  assertEquals(heard(new Uint8Array(16).fill(9)), [[], false]);
});
