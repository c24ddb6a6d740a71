/**
 * Gives pages that follow their guest to whoever runs it: those that are asked for at once, all others once that
 * is wanted, as far as the connection takes them and a limit allows.
 *
 * @module
 */
import type { DirtyPages } from "../../machine/dirty_pages.ts";
import type { MemorySpec } from "../../machine/ram.ts";
import { bufferAt } from "../../sys/mapping.ts";
import type { EventLoop } from "../event_loop.ts";
import { Pacing } from "../move/pacing.ts";
import { type RamArea, ramAreas } from "../move/ram_image.ts";
import { FollowingPages, type PagesToSay } from "./following_pages.ts";
import type { Link } from "./link.ts";
import { decodeWant } from "./page_frames.ts";

/** Frames of pages that are sent before anything else is looked at. */
const PUSHES_AT_ONCE = 8;
/** Pages of those that were asked for. */
const ANSWERS_AT_ONCE = 64;

export interface PageServerOptions {
  memory: MemorySpec;
  link: Link;
  loop: EventLoop;
  /** For those that nobody has asked for; as many as there can be without. */
  bytesPerSecond?: number;
}

export class PageServer {
  readonly #pages: FollowingPages;
  readonly #areas: readonly RamArea[];
  readonly #options: PageServerOptions;
  readonly #pacing = new Pacing();
  #isPushing = false;
  /** Has nobody go on after a while any more; undefined where nobody is about to. */
  #cancelWait: (() => void) | undefined;

  constructor(pages: DirtyPages, options: PageServerOptions) {
    const { memory } = options;
    this.#options = options;
    this.#areas = ramAreas(memory);
    const ram = new Uint8Array(bufferAt(memory.address, memory.length));
    this.#pages = new FollowingPages(pages, ram);
  }

  /** Bytes of pages that are nowhere but here. */
  get leftBytes(): number {
    return this.#pages.leftBytes;
  }

  /** Bytes of data that have been given. */
  get sentBytes(): number {
    return this.#pages.sentBytes;
  }

  /** Bytes a second since this was last asked. */
  rate(): number {
    return this.#pages.rate();
  }

  /** The other side asks for pages; throws a MigrationError that says what is wrong with that. */
  wanted(body: Uint8Array<ArrayBuffer>): void {
    for (const offset of decodeWant(body, this.#areas)) this.#pages.want(offset);
    this.#answer();
  }

  /** From now on pages go that nobody has asked for yet. */
  push(): void {
    this.#isPushing = true;
    this.flushed();
  }

  /** The connection takes more. */
  flushed(): void {
    if (this.#answer()) this.#push();
  }

  /** What is asked for goes first; false where more of it is to go. */
  #answer(): boolean {
    const { link } = this.#options;
    for (let turns = ANSWERS_AT_ONCE; link.isOpen && link.isFlushed; turns--) {
      if (turns === 0) {
        this.#goOnIn(0);
        return false;
      }
      const pages = this.#pages.nextWanted();
      if (pages === undefined) return true;
      this.#say(pages);
    }
    return false;
  }

  #push(): void {
    const { link, bytesPerSecond = 0 } = this.#options;
    if (!this.#isPushing || this.#cancelWait !== undefined) return;
    for (let turns = PUSHES_AT_ONCE; link.isOpen && link.isFlushed; turns--) {
      const ms = this.#pacing.wait(this.#pages.sentBytes, bytesPerSecond);
      // What comes from the other side meanwhile is to be looked at.
      if (ms > 0 || turns === 0) return this.#goOnIn(ms);
      const pages = this.#pages.next();
      if (pages === undefined) return;
      this.#say(pages);
    }
  }

  #goOnIn(ms: number): void {
    this.#cancelWait?.();
    this.#cancelWait = this.#options.loop.after(ms, () => {
      this.#cancelWait = undefined;
      this.flushed();
    });
  }

  #say({ kind, body }: PagesToSay): void {
    this.#options.link.say(kind, body);
  }
}
