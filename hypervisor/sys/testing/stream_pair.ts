/**
 * Two ends of a stream.
 *
 * @module
 */
import { check } from "../errno.ts";
import { close } from "../files.ts";

const libc = Deno.dlopen("libc.so.6", {
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
});

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;

export class StreamPair implements Disposable {
  readonly fds: Int32Array<ArrayBuffer> = new Int32Array(2);
  readonly #isOpen = [true, true];

  constructor() {
    const bytes = new Uint8Array(this.fds.buffer);
    check(
      libc.symbols.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bytes),
      "make a pair of sockets",
    );
  }

  close(end: 0 | 1): void {
    if (this.#isOpen[end]) close(this.fds[end]);
    this.#isOpen[end] = false;
  }

  [Symbol.dispose](): void {
    this.close(0);
    this.close(1);
  }
}
