/**
 * Two descriptors between which whole frames go, as between a tap and its host.
 *
 * @module
 */
import { check, EAGAIN, errno } from "../errno.ts";
import { close } from "../files.ts";

const libc = Deno.dlopen("libc.so.6", {
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
});

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;

export class FramePair implements Disposable {
  /** What plays the tap. */
  readonly tap: number;
  readonly #host: number;
  readonly #buffer = new Uint8Array(1 << 17);

  constructor() {
    const fds = new Int32Array(2);
    check(
      libc.symbols.socketpair(
        AF_UNIX,
        SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
        0,
        new Uint8Array(fds.buffer),
      ),
      "make a pair of sockets",
    );
    [this.tap, this.#host] = fds;
  }

  /** False where there is no room. */
  send(frame: Uint8Array<ArrayBuffer>): boolean {
    const n = libc.symbols.send(this.#host, frame, BigInt(frame.length), 0);
    if (n < 0 && errno() === EAGAIN) return false;
    return check(n, "send a frame") === frame.length;
  }

  /** The next frame from the tap; undefined if there is none. */
  receive(): Uint8Array<ArrayBuffer> | undefined {
    const n = libc.symbols.recv(this.#host, this.#buffer, BigInt(this.#buffer.length), 0);
    if (n < 0 && errno() === EAGAIN) return undefined;
    return this.#buffer.slice(0, check(n, "receive a frame"));
  }

  [Symbol.dispose](): void {
    close(this.tap);
    close(this.#host);
  }
}
