/**
 * Network links: bridges, their ports, addresses of cards, up and down.
 *
 * @module
 */
import { check, EEXIST, errno } from "./errno.ts";
import { close } from "./files.ts";
import { ioctlBuffer } from "./ioctl.ts";
import { libraryOf } from "./library.ts";
import { struct } from "./struct.ts";

const libc = libraryOf({
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
});

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFMTU = 0x8921;
const SIOCSIFMTU = 0x8922;
const SIOCSIFHWADDR = 0x8924;
const SIOCBRADDBR = 0x89a0;
const SIOCBRADDIF = 0x89a2;

const IFF_UP = 1;
const ARPHRD_ETHER = 1;

/** The longest name of a link, in bytes. */
const MAX_NAME = 15;
/** struct ifreq: a name of 16 bytes and a union of 24. */
const IFREQ_BYTES = 40;

/** `struct ifreq` with its union's MTU. */
export const MtuRequest = struct("ifreq", { name: ["u8", 16], mtu: "i32", rest: ["u8", 20] });

/** Creates a bridge; one that exists already is fine. */
export function addBridge(name: string): void {
  withSocket((fd) => {
    if (ioctlBuffer(fd, SIOCBRADDBR, encodeName(name, MAX_NAME + 1)) < 0 && errno() !== EEXIST) {
      check(-1, `create the bridge "${name}"`);
    }
  });
}

/** Makes the link `port` a port of `bridge`. */
export function addPort(bridge: string, port: string): void {
  const index = libc.symbols.if_nametoindex(encodeName(port, MAX_NAME + 1));
  if (index === 0) check(-1, `find the link "${port}"`);
  withSocket((fd) => {
    const request = encodeName(bridge, IFREQ_BYTES);
    new DataView(request.buffer).setInt32(16, index, true);
    check(ioctlBuffer(fd, SIOCBRADDIF, request), `add "${port}" to the bridge "${bridge}"`);
  });
}

/** Gives a link the address `mac`, such as "52:54:00:12:34:56". */
export function setMac(name: string, mac: string): void {
  const bytes = mac.split(":").map((part) => parseInt(part, 16));
  if (bytes.length !== 6 || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) {
    throw new TypeError(`Cannot set the address of "${name}": "${mac}" is not a MAC address`);
  }
  withSocket((fd) => {
    const request = encodeName(name, IFREQ_BYTES);
    new DataView(request.buffer).setUint16(16, ARPHRD_ETHER, true);
    request.set(bytes, 18);
    check(ioctlBuffer(fd, SIOCSIFHWADDR, request), `set the address of "${name}" to ${mac}`);
  });
}

/** The largest packet of a link, in bytes, without its Ethernet header. */
export function mtuOf(name: string): number {
  const request = MtuRequest.create();
  request.name.set(encodeName(name, MAX_NAME + 1));
  withSocket((fd) =>
    check(ioctlBuffer(fd, SIOCGIFMTU, request.$bytes), `read the MTU of "${name}"`)
  );
  return request.mtu;
}

/** Sets the largest packet of a link; needs CAP_NET_ADMIN. */
export function setMtu(name: string, mtu: number): void {
  const request = MtuRequest.create({ mtu });
  request.name.set(encodeName(name, MAX_NAME + 1));
  withSocket((fd) =>
    check(ioctlBuffer(fd, SIOCSIFMTU, request.$bytes), `set the MTU of "${name}" to ${mtu}`)
  );
}

/** Brings a link up. */
export function setUp(name: string): void {
  withSocket((fd) => {
    const request = encodeName(name, IFREQ_BYTES);
    const view = new DataView(request.buffer);
    check(ioctlBuffer(fd, SIOCGIFFLAGS, request), `read the state of the link "${name}"`);
    view.setInt16(16, view.getInt16(16, true) | IFF_UP, true);
    check(ioctlBuffer(fd, SIOCSIFFLAGS, request), `bring the link "${name}" up`);
  });
}

function withSocket(use: (fd: number) => void): void {
  const fd = check(
    libc.symbols.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
    "open a socket to configure the network",
  );
  try {
    use(fd);
  } finally {
    close(fd);
  }
}

function encodeName(name: string, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length > MAX_NAME) {
    throw new RangeError(
      `Cannot name a network link "${name}": it must have 1 to ${MAX_NAME} bytes`,
    );
  }
  const field = new Uint8Array(length);
  field.set(bytes);
  return field;
}
