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
  #isWaiting = false;

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
    for (const offset of decodeWant(body, this.#areas)) {
      const pages = this.#pages.wanted(offset);
      if (pages !== undefined) this.#say(pages);
    }
  }

  /** From now on pages go that nobody has asked for yet. */
  push(): void {
    this.#isPushing = true;
    this.flushed();
  }

  /** The connection takes more. */
  flushed(): void {
    const { link, bytesPerSecond = 0 } = this.#options;
    if (!this.#isPushing || this.#isWaiting) return;
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
    this.#isWaiting = true;
    this.#options.loop.after(ms, () => {
      this.#isWaiting = false;
      this.flushed();
    });
  }

  #say({ kind, body }: PagesToSay): void {
    this.#options.link.say(kind, body);
  }
}
