/**
 * vhost-net: a kernel thread that serves a network device's queues.
 *
 * @module
 */
import { check } from "./errno.ts";
import { O_RDWR, open } from "./files.ts";
import { io, ioctl, ioctlBuffer, ior, iow, iowr } from "./ioctl.ts";
import { struct } from "./struct.ts";

const TYPE = 0xaf;

export const VringState = struct("vhost_vring_state", { index: "u32", num: "u32" });
export const VringFile = struct("vhost_vring_file", { index: "u32", fd: "i32" });
export const VringAddr = struct("vhost_vring_addr", {
  index: "u32",
  flags: "u32",
  desc_user_addr: "n64",
  used_user_addr: "n64",
  avail_user_addr: "n64",
  log_guest_addr: "n64",
});
export const MemoryHeader = struct("vhost_memory", { nregions: "u32", padding: "u32" });
export const MemoryRegion = struct("vhost_memory_region", {
  guest_phys_addr: "n64",
  memory_size: "n64",
  userspace_addr: "n64",
  flags_padding: "u64",
});

/** ioctl numbers, by their names without VHOST_. */
export const VHOST = {
  GET_FEATURES: ior(TYPE, 0x00, 8),
  SET_FEATURES: iow(TYPE, 0x00, 8),
  SET_OWNER: io(TYPE, 0x01),
  SET_MEM_TABLE: iow(TYPE, 0x03, MemoryHeader.size),
  SET_LOG_BASE: iow(TYPE, 0x04, 8),
  SET_VRING_NUM: iow(TYPE, 0x10, VringState.size),
  SET_VRING_ADDR: iow(TYPE, 0x11, VringAddr.size),
  SET_VRING_BASE: iow(TYPE, 0x12, VringState.size),
  GET_VRING_BASE: iowr(TYPE, 0x12, VringState.size),
  SET_VRING_KICK: iow(TYPE, 0x20, VringFile.size),
  SET_VRING_CALL: iow(TYPE, 0x21, VringFile.size),
  SET_VRING_ERR: iow(TYPE, 0x22, VringFile.size),
  NET_SET_BACKEND: iow(TYPE, 0x30, VringFile.size),
  VSOCK_SET_GUEST_CID: iow(TYPE, 0x60, 8),
  VSOCK_SET_RUNNING: iow(TYPE, 0x61, 4),
} as const;

/** A feature of vhost's own, which no driver sees: what it writes to buffers is logged. */
export const VHOST_F_LOG_ALL = 26;
/** What its log counts, by guest physical address. */
export const VHOST_PAGE_SIZE = 0x1000;
/** A flag of a queue's addresses: what it writes to the used ring is logged. */
export const VHOST_VRING_F_LOG = 0;

export interface VhostMemory {
  /** Guest physical. */
  guest: number;
  length: number;
  /** In this process. */
  address: number;
}

/** Addresses in this process. */
export interface VhostRings {
  desc: number;
  avail: number;
  used: number;
  /** The guest physical address of the used ring, to have writes to it logged. */
  logUsedAt?: number;
}

/** A descriptor of /dev/vhost-net; -1 if the host has none or this process may not use it. */
export function openVhostNet(): number {
  try {
    return open("/dev/vhost-net", O_RDWR);
  } catch {
    return -1;
  }
}

/** The feature bits that this kernel's vhost-net knows, as bit numbers. */
export function vhostFeatures(fd: number): Set<number> {
  const bits = new BigUint64Array(1);
  check(ioctlBuffer(fd, VHOST.GET_FEATURES, new Uint8Array(bits.buffer)), "read vhost's features");
  const features = new Set<number>();
  for (let bit = 0; bit < 64; bit++) {
    if ((bits[0] >> BigInt(bit)) & 1n) features.add(bit);
  }
  return features;
}

/** Makes this process the owner, whose memory the kernel thread uses; once per descriptor. */
export function setOwner(fd: number): void {
  check(ioctl(fd, VHOST.SET_OWNER, 0), "own vhost");
}

export function setFeatures(fd: number, features: Iterable<number>): void {
  let bits = 0n;
  for (const bit of features) bits |= 1n << BigInt(bit);
  const bytes = new Uint8Array(new BigUint64Array([bits]).buffer);
  check(ioctlBuffer(fd, VHOST.SET_FEATURES, bytes), "set vhost's features");
}

/**
 * Where the log lies, a bit for each page: before a feature or a ring asks for it. It stays mapped for as
 * long as one does.
 */
export function setLog(fd: number, address: number): void {
  const bytes = new Uint8Array(new BigUint64Array([BigInt(address)]).buffer);
  check(ioctlBuffer(fd, VHOST.SET_LOG_BASE, bytes), "place vhost's log");
}

export function setMemory(fd: number, regions: readonly VhostMemory[]): void {
  const bytes = new Uint8Array(MemoryHeader.size + regions.length * MemoryRegion.size);
  MemoryHeader.at(bytes.buffer).nregions = regions.length;
  regions.forEach(({ guest, length, address }, i) => {
    const region = MemoryRegion.at(bytes.buffer, MemoryHeader.size + i * MemoryRegion.size);
    region.guest_phys_addr = guest;
    region.memory_size = length;
    region.userspace_addr = address;
  });
  check(ioctlBuffer(fd, VHOST.SET_MEM_TABLE, bytes), "set vhost's memory");
}

function ringState(fd: number, request: number, index: number, num: number): number {
  const state = VringState.create({ index, num });
  check(ioctlBuffer(fd, request, state.$bytes), `configure vhost's queue ${index}`);
  return state.num;
}

function ringFile(fd: number, request: number, index: number, file: number): void {
  const bytes = VringFile.create({ index, fd: file }).$bytes;
  check(ioctlBuffer(fd, request, bytes), `set a descriptor of vhost's queue ${index}`);
}

/** One queue of a vhost device. */
export class VhostQueue {
  readonly #fd: number;
  readonly #index: number;

  constructor(fd: number, index: number) {
    this.#fd = fd;
    this.#index = index;
  }

  /** `next`: the avail.idx at which it goes on. */
  setRings(size: number, rings: VhostRings, next: number): void {
    ringState(this.#fd, VHOST.SET_VRING_NUM, this.#index, size);
    ringState(this.#fd, VHOST.SET_VRING_BASE, this.#index, next);
    this.setAddresses(rings);
  }

  /** Also while it runs: to log or no longer. The rings themselves then stay where they are. */
  setAddresses(rings: VhostRings): void {
    const address = VringAddr.create({
      index: this.#index,
      flags: rings.logUsedAt === undefined ? 0 : 1 << VHOST_VRING_F_LOG,
      log_guest_addr: rings.logUsedAt ?? 0,
      desc_user_addr: rings.desc,
      avail_user_addr: rings.avail,
      used_user_addr: rings.used,
    });
    check(
      ioctlBuffer(this.#fd, VHOST.SET_VRING_ADDR, address.$bytes),
      `place vhost's queue ${this.#index}`,
    );
  }

  /** Eventfds: signalled by vhost for an interrupt, by the guest as notification, by vhost on a broken ring. */
  setEvents(events: { call: number; kick: number; error: number }): void {
    ringFile(this.#fd, VHOST.SET_VRING_CALL, this.#index, events.call);
    ringFile(this.#fd, VHOST.SET_VRING_KICK, this.#index, events.kick);
    ringFile(this.#fd, VHOST.SET_VRING_ERR, this.#index, events.error);
  }

  /** Starts with the tap `tap`; stops with -1, after which nothing touches the rings. */
  setBackend(tap: number): void {
    ringFile(this.#fd, VHOST.NET_SET_BACKEND, this.#index, tap);
  }

  /** The avail.idx that it has got to; only meaningful while stopped. */
  next(): number {
    return ringState(this.#fd, VHOST.GET_VRING_BASE, this.#index, 0);
  }
}
