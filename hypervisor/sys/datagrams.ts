/**
 * Datagrams to one address; nothing ever waits.
 *
 * @module
 */
import { check, EAGAIN, errno, SysError } from "./errno.ts";
import { close } from "./files.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  inet_pton: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
});

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** `struct sockaddr_in` or `sockaddr_in6` of an IP address; null for what is none. */
export function socketAddress(ip: string, port: number): Uint8Array<ArrayBuffer> | null {
  const text = new TextEncoder().encode(`${ip}\0`);
  const isSix = ip.includes(":");
  const address = new Uint8Array(isSix ? 28 : 16);
  const view = new DataView(address.buffer);
  view.setUint16(0, isSix ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port);
  const at = address.subarray(isSix ? 8 : 4);
  return libc.symbols.inet_pton(isSix ? AF_INET6 : AF_INET, text, at) === 1 ? address : null;
}

/** A socket that sends to one address. */
export class DatagramSender implements Disposable {
  readonly #fd: number;

  constructor(ip: string, port: number) {
    const address = socketAddress(ip, port);
    if (address === null) throw new TypeError(`Cannot send to "${ip}": it is no IP address`);
    const family = address.length === 28 ? AF_INET6 : AF_INET;
    this.#fd = check(
      libc.symbols.socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0),
      "open a socket for datagrams",
    );
    if (libc.symbols.connect(this.#fd, address, address.length) < 0) {
      const error = new SysError(`send to ${ip}`, errno());
      close(this.#fd);
      throw error;
    }
  }

  /** Whether there was room for it; what comes of it nobody tells. Throws where it cannot be sent. */
  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    const length = BigInt(bytes.length);
    const sent = libc.symbols.send(this.#fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (Number(sent) >= 0) return true;
    if (errno() === EAGAIN) return false;
    throw new SysError("send a datagram", errno());
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}
