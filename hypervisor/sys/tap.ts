/**
 * Taps: the host's end of a guest's NIC, as a device that stays until it is removed, in a bridge.
 *
 * @module
 */
import { check, EBUSY, EEXIST, EINVAL, ENODEV, errno, SysError } from "./errno.ts";
import { close, O_NONBLOCK, O_RDWR, open } from "./files.ts";
import { ioctl, ioctlBuffer, iow } from "./ioctl.ts";
import { libraryOf } from "./library.ts";
import { setMtu } from "./links.ts";
import { dropQueueing } from "./qdisc.ts";
import { struct } from "./struct.ts";

const libc = libraryOf({
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
});

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

const TUNSETIFF = iow(0x54, 202, 4);
const TUNSETPERSIST = iow(0x54, 203, 4);
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCBRADDIF = 0x89a2;

const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_UP = 0x1;

/** `struct ifreq` with the members of its union that are used here. */
export const FlagsRequest = struct("ifreq", { name: ["u8", 16], flags: "u16", rest: ["u8", 22] });
export const IndexRequest = struct("ifreq", { name: ["u8", 16], index: "i32", rest: ["u8", 20] });

/** The longest name of a network interface, in bytes. */
export const MAX_INTERFACE_NAME = 15;

function nameBytes(name: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(name + "\0");
  if (bytes.length > MAX_INTERFACE_NAME + 1 || !/^[A-Za-z0-9_.-]+$/.test(name)) {
    throw new RangeError(
      `Cannot name an interface "${name}": it must be 1 to ${MAX_INTERFACE_NAME} of A-Z, a-z, 0-9, '_', '.' and '-'`,
    );
  }
  return bytes;
}

/** Whether there is a network interface of this name. */
export function interfaceExists(name: string): boolean {
  return libc.symbols.if_nametoindex(nameBytes(name)) !== 0;
}

export interface AttachOptions {
  nonblocking?: boolean;
  /** The tap has, or is to have, several queues; this is one more. */
  multiQueue?: boolean;
}

/**
 * Opens a tap by name, creating it where it is missing. One with several queues refuses who asks for
 * one, and the other way round, with EINVAL.
 */
export function attach(name: string, options: AttachOptions = {}): number {
  const fd = open("/dev/net/tun", O_RDWR | (options.nonblocking ? O_NONBLOCK : 0));
  const flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  const request = FlagsRequest.create({
    flags: flags | (options.multiQueue ? IFF_MULTI_QUEUE : 0),
  });
  request.name.set(nameBytes(name));
  if (ioctlBuffer(fd, TUNSETIFF, request.$bytes) < 0) {
    const code = errno();
    close(fd);
    throw new SysError(`open the tap "${name}"`, code);
  }
  return fd;
}

export interface TapOptions {
  /** The bridge to put it into. */
  bridge?: string;
  /** It can have a queue for each pair of a network card's: see `openTap`. */
  multiQueue?: boolean;
  /** In bytes, without the Ethernet header; 1500 without. */
  mtu?: number;
}

/** Creates a tap that stays, and brings it up. */
export function createTap(name: string, options: TapOptions = {}): void {
  const { bridge, multiQueue, mtu } = options;
  if (interfaceExists(name)) throw new SysError(`create the tap "${name}"`, EEXIST);
  const fd = attach(name, { multiQueue });
  try {
    check(ioctl(fd, TUNSETPERSIST, 1), `keep the tap "${name}"`);
  } finally {
    close(fd);
  }
  try {
    if (mtu !== undefined) setMtu(name, mtu);
    if (bridge !== undefined) addToBridge(name, bridge);
    dropQueueing(libc.symbols.if_nametoindex(nameBytes(name)));
    bringUp(name);
  } catch (error) {
    removeTap(name);
    throw error;
  }
}

function withSocket<T>(use: (fd: number) => T): T {
  const fd = check(libc.symbols.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "open a socket");
  try {
    return use(fd);
  } finally {
    close(fd);
  }
}

function addToBridge(name: string, bridge: string) {
  const index = libc.symbols.if_nametoindex(nameBytes(name));
  const request = IndexRequest.create({ index });
  request.name.set(nameBytes(bridge));
  withSocket((fd) =>
    check(
      ioctlBuffer(fd, SIOCBRADDIF, request.$bytes),
      `put the tap "${name}" into the bridge "${bridge}"`,
    )
  );
}

function bringUp(name: string) {
  const request = FlagsRequest.create();
  request.name.set(nameBytes(name));
  withSocket((fd) => {
    check(ioctlBuffer(fd, SIOCGIFFLAGS, request.$bytes), `read the flags of "${name}"`);
    request.flags |= IFF_UP;
    check(ioctlBuffer(fd, SIOCSIFFLAGS, request.$bytes), `bring "${name}" up`);
  });
}

/**
 * Removes a tap; false while a process holds it open. One with several queues then goes as soon as that
 * process is done with it. One that is missing counts as removed.
 */
export function removeTap(name: string): boolean {
  if (!interfaceExists(name)) return true;
  let fd: number;
  try {
    fd = attachAnyhow(name);
  } catch (error) {
    if (error instanceof SysError && error.errno === EBUSY) return false;
    if (error instanceof SysError && error.errno === ENODEV) return true;
    throw error;
  }
  try {
    check(ioctl(fd, TUNSETPERSIST, 0), `remove the tap "${name}"`);
  } finally {
    close(fd);
  }
  return !interfaceExists(name);
}

function attachAnyhow(name: string): number {
  try {
    return attach(name);
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== EINVAL) throw error;
    return attach(name, { multiQueue: true });
  }
}
