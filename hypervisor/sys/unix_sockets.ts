/**
 * Unix stream sockets as descriptors that never block, for a loop that waits on them with epoll.
 *
 * @module
 */
import { check, EAGAIN, errno, SysError } from "./errno.ts";
import { close } from "./files.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
});

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SHUT_WR = 1;
const MSG_NOSIGNAL = 0x4000;
const BACKLOG = 64;
/** sun_path with its 0. */
const MAX_PATH_BYTES = 108;

const STREAM = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

/** What a call found that would have had to wait. */
export const WOULD_BLOCK = -1;

/** A sockaddr_un. */
function address(path: string): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(path + "\0");
  if (name.length > MAX_PATH_BYTES) {
    throw new RangeError(
      `Cannot use the socket "${path}": its path may have ${MAX_PATH_BYTES - 1} bytes`,
    );
  }
  const bytes = new Uint8Array(2 + name.length);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(name, 2);
  return bytes;
}

function open(): number {
  return check(libc.symbols.socket(AF_UNIX, STREAM, 0), "create a unix socket");
}

/** Listens at `path`, where nothing may be. */
export function listenUnix(path: string): number {
  const name = address(path);
  const fd = open();
  try {
    check(libc.symbols.bind(fd, name, name.length), `bind the socket "${path}"`);
    check(libc.symbols.listen(fd, BACKLOG), `listen at the socket "${path}"`);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Connects to whoever listens at `path`; a full backlog is an error, EAGAIN. */
export function connectUnix(path: string): number {
  const name = address(path);
  const fd = open();
  try {
    check(libc.symbols.connect(fd, name, name.length), `connect to the socket "${path}"`);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Two sockets that are connected with each other. */
export function socketPair(): [number, number] {
  const fds = new Int32Array(2);
  const bytes = new Uint8Array(fds.buffer);
  check(libc.symbols.socketpair(AF_UNIX, STREAM, 0, bytes), "create a pair of sockets");
  return [fds[0], fds[1]];
}

/** The next connection's descriptor, or {@linkcode WOULD_BLOCK}. */
export function accept(fd: number): number {
  return orWouldBlock(
    libc.symbols.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC),
    "accept a connection",
  );
}

/** How many bytes came, 0 at the end of what the other side sends, or {@linkcode WOULD_BLOCK}. */
export function receive(fd: number, into: Uint8Array<ArrayBuffer>): number {
  return orWouldBlock(
    Number(libc.symbols.recv(fd, into, BigInt(into.length), 0)),
    `receive from socket ${fd}`,
  );
}

/** How many of the bytes the socket took, or {@linkcode WOULD_BLOCK}. */
export function send(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  return orWouldBlock(
    Number(libc.symbols.send(fd, bytes, BigInt(bytes.length), MSG_NOSIGNAL)),
    `send to socket ${fd}`,
  );
}

/** Says that no more is sent. */
export function shutdownSending(fd: number): void {
  check(libc.symbols.shutdown(fd, SHUT_WR), `shut down socket ${fd}`);
}

function orWouldBlock(result: number, action: string): number {
  if (result >= 0) return result;
  const code = errno();
  if (code === EAGAIN) return WOULD_BLOCK;
  throw new SysError(action, code);
}
