/**
 * Queueing disciplines of interfaces (tc(8), rtnetlink(7)): here only that there be none.
 *
 * @module
 */
import { check } from "./errno.ts";
import { close } from "./files.ts";
import { libraryOf } from "./library.ts";
import { struct } from "./struct.ts";

const libc = libraryOf({
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
});

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const RTM_NEWQDISC = 36;
/** NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE and NLM_F_CREATE. */
const FLAGS = 0x1 | 0x4 | 0x100 | 0x400;
const TC_H_ROOT = 0xffff_ffff;
const TCA_KIND = 1;

export const MessageHeader = struct("nlmsghdr", {
  nlmsg_len: "u32",
  nlmsg_type: "u16",
  nlmsg_flags: "u16",
  nlmsg_seq: "u32",
  nlmsg_pid: "u32",
});
export const TcMessage = struct("tcmsg", {
  tcm_family: "u8",
  tcm__pad1: "u8",
  tcm__pad2: "u16",
  tcm_ifindex: "i32",
  tcm_handle: "u32",
  tcm_parent: "u32",
  tcm_info: "u32",
});

/**
 * Gives an interface no queueing discipline, so that frames go to its driver at once. For a tap: it has
 * a ring of its own and never holds frames back, so a discipline in front of it only costs time, and
 * memory for each of the 256 queues that a multi-queue tap may have. Before the interface is up, or that
 * memory is taken first. Returns false where the kernel would not; everything works all the same.
 */
export function dropQueueing(index: number): boolean {
  const kind = new TextEncoder().encode("noqueue\0");
  const attribute = MessageHeader.size + TcMessage.size;
  const bytes = new Uint8Array(attribute + 4 + kind.length);
  Object.assign(MessageHeader.at(bytes.buffer), {
    nlmsg_len: bytes.length,
    nlmsg_type: RTM_NEWQDISC,
    nlmsg_flags: FLAGS,
  });
  Object.assign(TcMessage.at(bytes.buffer, MessageHeader.size), {
    tcm_ifindex: index,
    tcm_parent: TC_H_ROOT,
  });
  new Uint16Array(bytes.buffer, attribute, 2).set([4 + kind.length, TCA_KIND]);
  bytes.set(kind, attribute + 4);
  const fd = check(
    libc.symbols.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE),
    "open a netlink socket",
  );
  try {
    check(libc.symbols.send(fd, bytes, BigInt(bytes.length), 0), "ask for no queueing");
    const answer = new Uint8Array(256);
    check(libc.symbols.recv(fd, answer, BigInt(answer.length), 0), "be answered about queueing");
    // NLMSG_ERROR: an errno, 0 for done, behind the header.
    return new DataView(answer.buffer).getInt32(MessageHeader.size, true) === 0;
  } finally {
    close(fd);
  }
}
