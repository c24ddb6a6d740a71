/**
 * Memory of which pages are to come from another VMM, which is played by this thread.
 *
 * As a program it is a VMM whose main thread waits for a page that never comes: `missing_memory.ts FILE`, where
 * FILE is to have its last word.
 *
 * @module
 */
import { DIRTY_PAGE_BYTES as PAGE } from "../../../machine/dirty_pages.ts";
import { type MemorySpec, openRam } from "../../../machine/ram.ts";
import { setNonBlocking } from "../../../sys/copying_io.ts";
import { close } from "../../../sys/files.ts";
import { bufferAt, Mapping } from "../../../sys/mapping.ts";
import { StreamPair } from "../../../sys/testing/stream_pair.ts";
import { EventLoop } from "../../event_loop.ts";
import { Arrival } from "../arrival.ts";
import { decodeReason, type Frame } from "../frames.ts";
import { Link } from "../link.ts";

const PAGES = 512;

export class MissingMemory implements Disposable {
  readonly loop = new EventLoop();
  readonly memory: MemorySpec = openRam({ length: PAGES * PAGE, hugePages: "none" }, () => {});
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(
    bufferAt(this.memory.address, this.memory.length),
  );
  readonly pair = new StreamPair();
  readonly arrival: Arrival;
  /** To whoever has the memory. */
  readonly other: Link;
  /** What the other VMM heard, in order. */
  readonly heard: Frame[] = [];
  /** What the main thread heard. */
  readonly told: string[] = [];

  /** Of `missing` pages, which are a first one and how many. */
  constructor({ missing: [first, count], lastWord = "/none" }: {
    missing: [first: number, count: number];
    lastWord?: string;
  }) {
    this.pair.fds.forEach(setNonBlocking);
    this.arrival = new Arrival({
      ...{ loop: this.loop, memory: this.memory, fd: this.pair.fds[0], lastWord },
      hugePages: false,
      host: {
        frame: ({ kind, body }) =>
          this.told.push(kind === "failed" ? `failed: ${decodeReason(body)}` : kind),
        broken: () => this.told.push("gone"),
      },
    });
    this.other = new Link(this.pair.fds[1], {
      loop: this.loop,
      host: { frame: (frame) => this.heard.push(frame), broken: () => {} },
    });
    this.arrival.pages.add(first * PAGE, count * PAGE);
  }

  /** Goes round until it holds, or for long enough. */
  until(holds: () => boolean): void {
    let isLate = false;
    const cancel = this.loop.after(10_000, () => isLate = true);
    // Of what other threads do, nobody tells this one.
    let cancelLook: () => void;
    const look = () => cancelLook = this.loop.after(5, look);
    cancelLook = this.loop.after(5, look);
    this.loop.run(() => holds() || isLate);
    cancel();
    cancelLook();
    if (isLate) throw new Error(`It never came to that: ${Deno.inspect(this.heard)} ${this.told}`);
  }

  [Symbol.dispose](): void {
    this.arrival.close();
    this.until(() => true);
    this.other.end();
    this.pair[Symbol.dispose]();
    new Mapping(this.memory.address, this.memory.length).unmap();
    close(this.memory.fd!);
  }
}

if (import.meta.main) {
  const rig = new MissingMemory({ missing: [5, 5], lastWord: Deno.args[0] });
  rig.arrival.begin();
  rig.arrival.say("ready");
  rig.until(() => rig.heard.length === 1);
  // Who has the page goes away a moment after it is touched.
  const source = `self.onmessage = ({ data }) => {
    const libc = Deno.dlopen("libc.so.6", {
      usleep: { parameters: ["u32"], result: "i32" },
      shutdown: { parameters: ["i32", "i32"], result: "i32" },
    });
    libc.symbols.usleep(300_000);
    libc.symbols.shutdown(data, 2);
  };`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  new Worker(url, { type: "module" }).postMessage(rig.pair.fds[1]);
  console.log(rig.bytes[5 * PAGE]);
}
