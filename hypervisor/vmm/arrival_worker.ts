/**
 * The thread that brings a guest the pages which it has left elsewhere, while it runs: what somebody waits for
 * is asked for, what comes is put in where it is missing, and never is a guest's memory touched otherwise. What
 * the two VMMs say to each other besides goes through here.
 *
 * When the other VMM is gone before the last page has come, the main thread is told, and is to end. It may stand
 * still, or come to, for a page that will never come: then this thread ends the process, and writes down why.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { DIRTY_PAGE_BYTES, DirtyPages } from "../machine/dirty_pages.ts";
import type { MemorySpec } from "../machine/ram.ts";
import { close } from "../sys/files.ts";
import { exitNow } from "../sys/exit.ts";
import { nameThread } from "../sys/threads.ts";
import { UserFaults } from "../sys/userfaultfd.ts";
import { EXIT_CODES } from "./control.ts";
import { writeDurably } from "./durable_file.ts";
import { EventLoop } from "./event_loop.ts";
import { encodeReason, type Frame, MigrationError } from "./migrate/frames.ts";
import { Link } from "./migrate/link.ts";
import { decodePages, decodeZeros, encodeWant, MAX_WANTED } from "./migrate/page_frames.ts";
import { type RamArea, ramAreas } from "./move/ram_image.ts";

export interface ArrivalSpec {
  /** The connection to the other VMM, once the main thread leaves it to this one. */
  fd: number;
  /** To the main thread; this one's to close, as is the next. */
  mainFd: number;
  /** Of a userfaultfd. */
  faultsFd: number;
  memory: MemorySpec;
  /** What is still to come: a set of pages. */
  pages: SharedArrayBuffer;
  /** The file in which it is written why the VMM ended. */
  lastWord: string;
}

/** How long the process may take to end by itself when no more comes, in milliseconds. */
const END_MS = 5000;
/** How long the last words may take to leave, in milliseconds. */
const GOODBYE_MS = 2000;

self.onmessage = ({ data }: MessageEvent<ArrivalSpec>) => {
  nameThread("arrival");
  new Arrival(data).run();
  self.close();
};

class Arrival {
  readonly #spec: ArrivalSpec;
  readonly #loop = new EventLoop();
  readonly #faults: UserFaults;
  readonly #areas: readonly RamArea[];
  readonly #pages: DirtyPages;
  /** Those that were asked for. */
  readonly #asked: DirtyPages;
  readonly #main: Link;
  #other: Link | undefined;
  #left = 0;
  /** The other VMM has given the guest away. */
  #isGiven = false;
  /** The guest runs here, as the other VMM was told. */
  #isRunning = false;
  #isOver = false;
  #error: string | undefined;

  constructor(spec: ArrivalSpec) {
    const { memory, pages, faultsFd, mainFd } = this.#spec = spec;
    this.#faults = new UserFaults(faultsFd);
    this.#areas = ramAreas(memory);
    this.#pages = new DirtyPages(pages);
    this.#asked = DirtyPages.of(memory.length);
    this.#main = new Link(mainFd, {
      loop: this.#loop,
      host: {
        frame: (frame) => this.#attempt(() => this.#told(frame)),
        broken: () => this.#isOver = true,
      },
    });
  }

  run(): void {
    this.#loop.run(() => this.#isOver || this.#error !== undefined);
    if (this.#error !== undefined) this.#tellLoss(this.#error);
    this.#main.close();
  }

  /** By the main thread. */
  #told({ kind, body }: Frame): void {
    switch (kind) {
      case "welcome":
        return this.#begin();
      case "runs":
        this.#other?.say("runs");
        this.#isRunning = true;
        return this.#lookWhetherAll();
      case "arrived":
        // Nobody is left who needs the rest.
        return this.#end();
      default:
        this.#other?.say(kind, body);
        if (kind === "failed") this.#leave();
    }
  }

  #begin(): void {
    this.#left = this.#pages.count;
    this.#loop.watch(this.#spec.faultsFd, () => this.#attempt(() => this.#readFaults()));
    this.#other = new Link(this.#spec.fd, {
      loop: this.#loop,
      host: {
        frame: (frame) => this.#attempt(() => this.#heard(frame)),
        broken: (error) => this.#error ??= error.message,
      },
    });
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#error ??= (error as Error).message;
    }
  }

  /** From the other VMM. */
  #heard({ kind, body }: Frame): void {
    switch (kind) {
      case "pages": {
        const { offset, bytes } = decodePages(body, this.#areas);
        this.#take(offset, bytes.length);
        this.#check(this.#faults.copy(this.#address + offset, bytes), offset, bytes.length);
        return this.#lookAround();
      }
      case "zeros": {
        const { offset, length } = decodeZeros(body, this.#areas);
        this.#take(offset, length);
        this.#check(this.#faults.zero(this.#address + offset, length), offset, length);
        return this.#lookAround();
      }
      case "go":
        if (this.#isGiven) {
          throw new MigrationError(
            "Cannot understand the other VMM: it gives the guest away twice",
          );
        }
        this.#isGiven = true;
        return this.#main.say(kind);
      case "failed":
        return this.#main.say(kind, body);
      default:
        throw new MigrationError(`Cannot understand the other VMM: "${kind}" where nobody asked`);
    }
  }

  get #address(): number {
    return this.#spec.memory.address;
  }

  /** Each page comes once, and none comes that was not said to. */
  #take(offset: number, length: number): void {
    for (let at = offset; at < offset + length; at += DIRTY_PAGE_BYTES) {
      if (this.#pages.delete(at / DIRTY_PAGE_BYTES)) this.#left--;
      else {
        throw new MigrationError(
          `Cannot understand the other VMM: the page at ${at} is not one that is to come`,
        );
      }
    }
  }

  #check(done: number, offset: number, length: number): void {
    if (done === length) return;
    throw new Error(`Cannot put ${length} bytes at ${offset}: there is a page already`);
  }

  /** However much comes that nobody waits for, what somebody waits for is asked for meanwhile. */
  #lookAround(): void {
    this.#readFaults();
    this.#lookWhetherAll();
  }

  #readFaults(): void {
    let wanted: number[] = [];
    const ask = () => {
      if (wanted.length > 0) this.#other!.say("want", encodeWant(wanted));
      wanted = [];
    };
    this.#faults.read((address) => {
      const offset = address - this.#address;
      const page = offset / DIRTY_PAGE_BYTES;
      if (!this.#pages.has(page)) return this.#fill(address);
      if (this.#asked.has(page)) return;
      this.#asked.add(offset, DIRTY_PAGE_BYTES);
      if (wanted.push(offset) === MAX_WANTED) ask();
    });
    ask();
  }

  /** What nobody is to send was never there, or has come since it was missing. */
  #fill(address: number): void {
    if (this.#faults.zero(address, DIRTY_PAGE_BYTES) === 0) {
      this.#faults.wake(address, DIRTY_PAGE_BYTES);
    }
  }

  #lookWhetherAll(): void {
    if (this.#left > 0 || !this.#isRunning || this.#isOver) return;
    const { memory, faultsFd } = this.#spec;
    this.#loop.unwatch(faultsFd);
    this.#faults.unregister(memory.address, memory.length);
    close(faultsFd);
    this.#end();
  }

  #end(): void {
    this.#other!.say("arrived");
    this.#leave();
    this.#main.say("arrived");
    this.#flush(this.#main);
  }

  /** Has nothing more to do with the connection, whose descriptor is the main thread's. */
  #leave(): void {
    if (this.#other === undefined) return;
    this.#flush(this.#other);
    this.#other.end();
    this.#isOver = true;
  }

  #flush(link: Link): void {
    let isLate = false;
    const cancel = this.#loop.after(GOODBYE_MS, () => isLate = true);
    this.#loop.run(() => link.isFlushed || !link.isOpen || isLate);
    cancel();
  }

  /** Who waits for a page goes on waiting: what it would find there is not what the guest has written. */
  #tellLoss(why: string): void {
    this.#other?.end();
    if (!this.#main.isOpen) return;
    this.#main.say("failed", encodeReason(why));
    let isLate = false;
    this.#loop.after(END_MS, () => isLate = true);
    this.#loop.run(() => !this.#main.isOpen || isLate);
    if (!isLate) return;
    const message = `The guest was ended, for its memory did not all come: ${why}`;
    console.error(message);
    try {
      writeDurably(this.#spec.lastWord, JSON.stringify({ reason: "host", message }));
    } finally {
      exitNow(EXIT_CODES.host);
    }
  }
}
