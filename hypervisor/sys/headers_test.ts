import { assertEquals } from "@std/assert";
import { io, ior, iow, iowr } from "./ioctl.ts";
import { Statx, STATX_DIOALIGN } from "./direct_io.ts";
import { FIEMAP, Fiemap, FiemapExtent, FS_IOC_FIEMAP } from "./extents.ts";
import { ALLOCATE, BLOCK_DEVICE } from "./fallocate.ts";
import { IO_URING, IoUringParams } from "./io_uring.ts";
import { MtuRequest } from "./links.ts";
import { claimsOf, contradictions } from "./testing/headers.ts";
import { Address } from "./packet_socket.ts";
import {
  ControlHeader,
  IoVector,
  Message,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_NOSIGNAL,
  SCM_RIGHTS,
  SOL_SOCKET,
} from "./passed_descriptors.ts";
import { MessageHeader, TcMessage } from "./qdisc.ts";
import { SEAL } from "./seals.ts";
import { FlagsRequest, IndexRequest } from "./tap.ts";
import { TUN, TUN_F } from "./tap_offloads.ts";
import {
  MemoryHeader,
  MemoryRegion,
  VHOST,
  VHOST_F_LOG_ALL,
  VHOST_PAGE_SIZE,
  VHOST_VRING_F_LOG,
  VringAddr,
  VringFile,
  VringState,
} from "./vhost.ts";
import { WDIOC } from "./watchdog.ts";

Deno.test("vhost's structs are those of the kernel's headers", () => {
  const claims = {
    ...claimsOf(VringState),
    ...claimsOf(VringFile),
    ...claimsOf(VringAddr),
    ...claimsOf(MemoryHeader),
    ...claimsOf(MemoryRegion),
  };
  assertEquals(contradictions(["linux/vhost.h"], claims), []);
});

Deno.test("vhost's numbers are those of the kernel's headers", () => {
  const claims = {
    ...Object.fromEntries(
      Object.entries(VHOST).map(([name, value]) => [`(unsigned)VHOST_${name}`, value]),
    ),
    VHOST_F_LOG_ALL,
    VHOST_PAGE_SIZE,
    VHOST_VRING_F_LOG,
  };
  assertEquals(contradictions(["linux/vhost.h"], claims), []);
});

Deno.test("the watchdog's numbers are those of the kernel's headers", () => {
  const claims = Object.fromEntries(
    Object.entries(WDIOC).map(([name, value]) => [`(unsigned)WDIOC_${name}`, value]),
  );
  assertEquals(contradictions(["linux/types.h", "linux/ioctl.h", "linux/watchdog.h"], claims), []);
});

Deno.test("io_uring's parameters are those of the kernel's headers", () => {
  const inner = (ring: "sq" | "cq", fields: readonly string[], prefix = "") =>
    fields.map((field) => [`${ring}_${prefix}${field}`, `${ring}_off.${field}`]);
  const both = ["head", "tail", "ring_mask", "ring_entries", "flags", "resv1"];
  const renamed = Object.fromEntries([
    ...inner("sq", [...both, "dropped", "array"]),
    ...inner("cq", [...both, "overflow", "cqes"]),
  ]);
  // The last words of both have had several names.
  const claims = claimsOf(IoUringParams, { renamed, ours: ["sq_resv2", "cq_resv2"] });
  assertEquals(contradictions(["linux/io_uring.h"], claims), []);
});

Deno.test("io_uring's numbers are those of the kernel's headers", () => {
  const claims = Object.fromEntries(
    Object.entries(IO_URING).map(([name, value]) => [`(unsigned)IORING_${name}`, value]),
  );
  assertEquals(contradictions(["linux/io_uring.h"], claims), []);
});

Deno.test("messages with descriptors are those of the C library's headers", () => {
  const claims = {
    ...claimsOf(IoVector),
    ...claimsOf(Message),
    ...claimsOf(ControlHeader),
    ...{ SOL_SOCKET, SCM_RIGHTS, MSG_CTRUNC, MSG_NOSIGNAL, MSG_CMSG_CLOEXEC },
  };
  assertEquals(contradictions(["sys/socket.h", "sys/uio.h"], claims), []);
});

Deno.test("seals are numbered as in the kernel's headers", () => {
  const claims = Object.fromEntries(
    Object.entries(SEAL).map(([name, value]) => [`F_SEAL_${name}`, value]),
  );
  assertEquals(contradictions(["linux/fcntl.h"], claims), []);
});

Deno.test("what is asked of files is numbered as in the kernel's headers", () => {
  const claims = {
    ...Object.fromEntries(
      Object.entries(ALLOCATE).map(([name, value]) => [`FALLOC_FL_${name}`, value]),
    ),
    "(unsigned)BLKDISCARD": BLOCK_DEVICE.DISCARD,
    "(unsigned)BLKPBSZGET": BLOCK_DEVICE.PHYSICAL_BLOCK,
    STATX_DIOALIGN,
    ...claimsOf(Statx, { ours: ["others", "spare"] }),
  };
  const includes = ["sys/ioctl.h", "linux/falloc.h", "linux/fs.h", "linux/stat.h"];
  assertEquals(contradictions(includes, claims), []);
});

Deno.test("ioctl numbers are packed as the kernel's macros pack them", () => {
  assertEquals(
    contradictions(["sys/ioctl.h"], {
      "(unsigned)_IO(0xAE, 0x80)": io(0xAE, 0x80),
      "(unsigned)_IOR('T', 210, unsigned int)": ior(0x54, 210, 4),
      "(unsigned)_IOW(0xAF, 0x30, char[8])": iow(0xAF, 0x30, 8),
      "(unsigned)_IOWR(0xFF, 0xFF, char[16383])": iowr(0xFF, 0xFF, 16383),
    }),
    [],
  );
});

Deno.test("requests about interfaces and packet addresses are those of the kernel's headers", () => {
  const request = (field: string, name: string) => ({
    renamed: { name: "ifr_name", [field]: name },
    ours: ["rest"],
  });
  const claims = {
    ...claimsOf(FlagsRequest, request("flags", "ifr_flags")),
    ...claimsOf(IndexRequest, request("index", "ifr_ifindex")),
    ...claimsOf(MtuRequest, request("mtu", "ifr_mtu")),
  };
  assertEquals(contradictions(["linux/if.h"], claims), []);
  const fields = Object.keys(Address.offsets);
  const renamed = Object.fromEntries(fields.map((field) => [field, `sll_${field}`]));
  assertEquals(contradictions(["linux/if_packet.h"], claimsOf(Address, { renamed })), []);
});

Deno.test("what taps are told, and rtnetlink's messages, are those of the kernel's headers", () => {
  // Newer than the headers of Linux 6.1.
  const { USO4: _4, USO6: _6, ...offloads } = TUN_F;
  const named = (prefix: string, table: Record<string, number>) =>
    Object.fromEntries(Object.entries(table).map(([key, value]) => [prefix + key, value]));
  const tun = { ...named("TUN_F_", offloads), ...named("(unsigned)TUN", TUN) };
  assertEquals(contradictions(["sys/ioctl.h", "linux/if_tun.h"], tun), []);
  const messages = { ...claimsOf(MessageHeader), ...claimsOf(TcMessage) };
  assertEquals(contradictions(["linux/rtnetlink.h"], messages), []);
});

Deno.test("how the kernel tells where a file lies is as in its headers", () => {
  const claims = {
    ...claimsOf(Fiemap),
    ...claimsOf(FiemapExtent),
    FIEMAP_EXTENT_LAST: FIEMAP.EXTENT_LAST,
    FIEMAP_EXTENT_SHARED: FIEMAP.EXTENT_SHARED,
    "(unsigned)FS_IOC_FIEMAP": FS_IOC_FIEMAP,
  };
  assertEquals(contradictions(["linux/fs.h", "linux/fiemap.h"], claims), []);
});
