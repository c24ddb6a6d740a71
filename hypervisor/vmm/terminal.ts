/**
 * A guest's serial port on this process's terminal, or on its pipes.
 *
 * @module
 */
import { EPERM, SysError } from "../sys/errno.ts";
import { isWritable } from "../sys/poll.ts";
import type { EventLoop } from "./event_loop.ts";
import type { Guest, GuestHost } from "./guest.ts";

/** Ctrl-] */
const ESCAPE = 0x1D;
const READ_BYTES = 1024;
/** What a pipe that has any room takes without blocking (PIPE_BUF). */
const WRITE_BYTES = 4096;

const STDIN = 0;
const STDOUT = 1;

export class Terminal implements GuestHost {
  readonly #loop: EventLoop;
  readonly #isTerminal = Deno.stdin.isTerminal();
  #guest!: Guest;
  /** Typed, and not yet taken by the serial port. */
  #typed: Uint8Array = new Uint8Array();
  #isInputOver = false;
  #isInputWatched = false;
  /** Sent by the guest, and not yet taken by the terminal. */
  #shown: Uint8Array<ArrayBuffer> = new Uint8Array();
  #isOutputWatched = false;

  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  /** Types at the guest from now on. */
  attach(guest: Guest): void {
    this.#guest = guest;
    if (this.#isTerminal) {
      console.error("vmm: Ctrl-] ends the guest");
      Deno.stdin.setRaw(true);
    }
    this.#isInputWatched = this.#watch(STDIN, () => this.#input());
    if (!this.#isInputWatched) this.#input();
  }

  /** False for a file, which is always ready and cannot be watched. */
  #watch(fd: number, ready: () => void): boolean {
    try {
      this.#loop.watch(fd, ready);
      return true;
    } catch (error) {
      if (error instanceof SysError && error.errno === EPERM) return false;
      throw error;
    }
  }

  #input(): void {
    while (this.#typed.length === 0 && !this.#isInputOver) {
      const buffer = new Uint8Array(READ_BYTES);
      const n = Deno.stdin.readSync(buffer);
      if (n === null) this.#isInputOver = true;
      else this.#typed = buffer.subarray(0, n);
      if (this.#isTerminal && this.#typed.includes(ESCAPE)) return this.#guest.kill();
      this.#type();
      // The next read might block.
      if (this.#isInputWatched) break;
    }
    if (this.#isInputWatched) {
      const read = this.#typed.length === 0 && !this.#isInputOver;
      if (this.#isInputOver) this.#loop.unwatch(STDIN);
      else this.#loop.want(STDIN, { read, write: false });
    }
  }

  #type(): void {
    if (this.#typed.length === 0) return;
    this.#typed = this.#typed.subarray(this.#guest.type(this.#typed));
  }

  serialRoom(): void {
    if (this.#typed.length === 0) return;
    this.#type();
    if (this.#typed.length > 0 || this.#isInputOver) return;
    if (this.#isInputWatched) this.#loop.want(STDIN, { read: true, write: false });
    else this.#input();
  }

  serial(bytes: Uint8Array<ArrayBuffer>): void {
    this.#shown = bytes;
    this.#show();
  }

  takesSerial(): boolean {
    return this.#shown.length === 0;
  }

  #show(): void {
    try {
      while (this.#shown.length > 0) {
        if (!isWritable(STDOUT)) break;
        this.#shown = this.#shown.subarray(Deno.stdout.writeSync(
          this.#shown.subarray(0, WRITE_BYTES),
        ));
      }
    } catch (error) {
      // Nobody reads any more: the terminal or the pipe is gone, and so is who could stop the guest.
      console.error(`vmm: Cannot write the guest's output: ${(error as Error).message}`);
      this.#shown = new Uint8Array();
      this.#guest.kill();
    }
    const isFull = this.#shown.length > 0;
    if (isFull === this.#isOutputWatched) return;
    if (!isFull) this.#loop.unwatch(STDOUT);
    else {
      this.#loop.watch(STDOUT, () => {
        this.#show();
        if (this.#shown.length === 0) this.#guest.look();
      });
      this.#loop.want(STDOUT, { read: false, write: true });
    }
    this.#isOutputWatched = isFull;
  }

  log(line: string): void {
    console.error(`vmm: ${line}`);
  }

  unplugged(device: string): void {
    this.log(`The guest has let go of ${device}`);
  }

  paused(reason: string | null): void {
    this.log(reason === null ? "The guest runs again" : `The guest is paused: ${reason}`);
  }

  /** Gives the terminal back, and says how it ended. */
  close(message: string): void {
    // What it could not take is worth a wait now that nothing else is served.
    for (let at = 0; at < this.#shown.length;) {
      at += Deno.stdout.writeSync(this.#shown.subarray(at));
    }
    if (this.#isTerminal) Deno.stdin.setRaw(false);
    console.error(`vmm: ${message}`);
  }
}
