/**
 * Programs of the host on their way to the guest: they connect to a unix socket and say which port
 * they want, as "CONNECT 1234" and a newline.
 *
 * @module
 */
import { EPOLLERR, EPOLLHUP, EPOLLIN } from "../../sys/epoll.ts";
import { close } from "../../sys/files.ts";
import { accept, receive, WOULD_BLOCK } from "../../sys/unix_sockets.ts";
import type { SocketSet } from "./socket_set.ts";

/** "CONNECT 4294967295\n" has 19 bytes. */
const MAX_LINE = 32;
const NEWLINE = 10;
const MAX_PORT = 0xffff_fffe;
/** Programs that have not said yet where they want to go. */
const MAX_UNDECIDED = 64;

/** The port of a line without its newline; undefined if it says anything else. */
export function parseConnect(line: string): number | undefined {
  const [, digits] = /^CONNECT (\d{1,10})$/.exec(line) ?? [];
  const port = Number(digits);
  return port <= MAX_PORT ? port : undefined;
}

export class VsockClients {
  readonly #sockets: SocketSet;
  readonly #listener: number;
  readonly #decided: (fd: number, port: number) => void;
  readonly #lines = new Map<number, string>();
  readonly #byte = new Uint8Array(1);

  /** `decided` becomes the owner of the descriptor. */
  constructor(
    sockets: SocketSet,
    options: { listener: number; decided: (fd: number, port: number) => void },
  ) {
    this.#sockets = sockets;
    this.#listener = options.listener;
    this.#decided = options.decided;
    sockets.add(options.listener, EPOLLIN, () => this.#accept());
  }

  stop(): void {
    this.#sockets.remove(this.#listener);
    for (const fd of [...this.#lines.keys()]) close(this.#forget(fd));
  }

  #accept(): void {
    let fd;
    try {
      fd = accept(this.#listener);
    } catch {
      // It has gone again, or there are no descriptors.
      return;
    }
    if (fd === WOULD_BLOCK) return;
    if (this.#lines.size >= MAX_UNDECIDED) return close(fd);
    this.#lines.set(fd, "");
    this.#sockets.add(fd, EPOLLIN, (events) => this.#ready(fd, events));
  }

  #forget(fd: number): number {
    this.#lines.delete(fd);
    this.#sockets.remove(fd);
    return fd;
  }

  /** Reads to the end of the line and not a byte further: what follows is for the guest. */
  #ready(fd: number, events: number): void {
    let line = this.#lines.get(fd)!;
    for (;;) {
      const n = this.#read(fd);
      if (n === WOULD_BLOCK) {
        if ((events & (EPOLLHUP | EPOLLERR)) !== 0) close(this.#forget(fd));
        else this.#lines.set(fd, line);
        return;
      }
      if (n > 0 && this.#byte[0] === NEWLINE) {
        const port = parseConnect(line);
        this.#forget(fd);
        if (port === undefined) close(fd);
        else this.#decided(fd, port);
        return;
      }
      line += String.fromCharCode(this.#byte[0]);
      if (n === 0 || line.length > MAX_LINE) return close(this.#forget(fd));
    }
  }

  #read(fd: number): number {
    try {
      return receive(fd, this.#byte);
    } catch {
      return 0;
    }
  }
}
