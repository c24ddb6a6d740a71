/**
 * Descriptors that go along with bytes through a unix socket (SCM_RIGHTS): who receives them has the same
 * open files, whatever its paths and permissions are.
 *
 * @module
 */
import { check, EAGAIN, errno, SysError } from "./errno.ts";
import { close } from "./files.ts";
import { libraryOf } from "./library.ts";
import { addressOf } from "./mapping.ts";
import { struct } from "./struct.ts";
import { WOULD_BLOCK } from "./unix_sockets.ts";

const libc = libraryOf({
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "isize" },
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "isize" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  dup3: { parameters: ["i32", "i32", "i32"], result: "i32" },
});

export const SOL_SOCKET = 1;
export const SCM_RIGHTS = 1;
export const MSG_CTRUNC = 8;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x4000_0000;
const F_DUPFD_CLOEXEC = 1030;
const O_CLOEXEC = 0o2000000;

/** As many as one message can bring; of more, none is kept. */
export const MAX_PASSED = 4;

export const IoVector = struct("iovec", { iov_base: "n64", iov_len: "n64" });
export const Message = struct("msghdr", {
  msg_name: "n64",
  msg_namelen: "u32",
  msg_iov: "n64",
  msg_iovlen: "n64",
  msg_control: "n64",
  msg_controllen: "n64",
  msg_flags: "i32",
});
export const ControlHeader = struct("cmsghdr", {
  cmsg_len: "n64",
  cmsg_level: "i32",
  cmsg_type: "i32",
});

const controlBytes = (count: number) => Math.ceil((ControlHeader.size + 4 * count) / 8) * 8;

/** Sends bytes, with which the descriptors go; how many of the bytes were taken, or {@linkcode WOULD_BLOCK}. */
export function sendDescriptors(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  descriptors: readonly number[],
): number {
  const control = new Uint8Array(controlBytes(descriptors.length));
  const header = ControlHeader.at(control.buffer);
  header.cmsg_len = ControlHeader.size + 4 * descriptors.length;
  header.cmsg_level = SOL_SOCKET;
  header.cmsg_type = SCM_RIGHTS;
  new Int32Array(control.buffer, ControlHeader.size, descriptors.length).set(descriptors);
  const n = transfer(libc.symbols.sendmsg, { fd, bytes, control, flags: MSG_NOSIGNAL });
  return orWouldBlock(n.result, `send descriptors through socket ${fd}`);
}

/**
 * How many bytes came, 0 at the end, or {@linkcode WOULD_BLOCK}. Descriptors that came with them are
 * added to `descriptors`, and are the caller's to close.
 */
export function receiveDescriptors(
  fd: number,
  into: Uint8Array<ArrayBuffer>,
  descriptors: number[],
): number {
  const control = new Uint8Array(controlBytes(MAX_PASSED));
  const { result, message } = transfer(libc.symbols.recvmsg, {
    ...{ fd, bytes: into, control },
    flags: MSG_CMSG_CLOEXEC,
  });
  if (result < 0) return orWouldBlock(result, `receive from socket ${fd}`);
  const header = ControlHeader.at(control.buffer);
  const { cmsg_len, cmsg_level, cmsg_type } = header;
  if (message.msg_controllen < ControlHeader.size) return result;
  if (cmsg_level !== SOL_SOCKET || cmsg_type !== SCM_RIGHTS) return result;
  const count = Math.min(MAX_PASSED, Math.floor((cmsg_len - ControlHeader.size) / 4));
  const passed = [...new Int32Array(control.buffer, ControlHeader.size, Math.max(0, count))];
  // Some were too many and are lost already.
  if ((message.msg_flags & MSG_CTRUNC) !== 0) passed.forEach(close);
  else descriptors.push(...passed);
  return result;
}

/** Another descriptor of the same open file. */
export function duplicate(fd: number): number {
  return check(libc.symbols.fcntl(fd, F_DUPFD_CLOEXEC, 3), `duplicate descriptor ${fd}`);
}

/** Has `fd` be the open file of `by`, which is closed, in place of its own, which it lets go of. */
export function replace(fd: number, by: number): void {
  try {
    check(libc.symbols.dup3(by, fd, O_CLOEXEC), `replace descriptor ${fd}`);
  } finally {
    close(by);
  }
}

interface Transfer {
  fd: number;
  bytes: Uint8Array<ArrayBuffer>;
  control: Uint8Array<ArrayBuffer>;
  flags: number;
}

function transfer(
  call: (fd: number, message: Uint8Array<ArrayBuffer>, flags: number) => number | bigint,
  { fd, bytes, control, flags }: Transfer,
) {
  const address = addressOf(bytes.buffer) + bytes.byteOffset;
  const vector = IoVector.create({ iov_base: address, iov_len: bytes.length });
  const message = Message.create({
    msg_iov: addressOf(vector.$bytes.buffer),
    msg_iovlen: 1,
    msg_control: addressOf(control.buffer),
    msg_controllen: control.length,
  });
  const result = Number(call(fd, message.$bytes, flags));
  // The kernel reads through plain addresses, for which what lies there must still be.
  if (vector.$bytes.length + bytes.length + control.length === 0) throw new Error("unreachable");
  return { result, message };
}

function orWouldBlock(result: number, action: string): number {
  if (result >= 0) return result;
  const code = errno();
  if (code === EAGAIN) return WOULD_BLOCK;
  throw new SysError(action, code);
}
