/**
 * Packet sockets (packet(7)): whole Ethernet frames on one interface.
 *
 * @module
 */
import { check, EAGAIN, ENOBUFS, errno } from "./errno.ts";
import { close } from "./files.ts";
import { libraryOf } from "./library.ts";
import { struct } from "./struct.ts";

const libc = libraryOf({
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
});

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
/** ETH_P_ALL, in network byte order. */
const ALL_PROTOCOLS = 0x0300;

export const Address = struct("sockaddr_ll", {
  family: "u16",
  protocol: "u16",
  ifindex: "i32",
  hatype: "u16",
  pkttype: "u8",
  halen: "u8",
  addr: ["u8", 8],
});

export class PacketSocket implements Disposable {
  readonly fd: number;
  readonly #buffer = new Uint8Array(65536);

  /** `vnetHeader`: each frame has a virtio_net_hdr of 10 bytes in front. */
  constructor(interfaceName: string, options: { vnetHeader?: boolean } = {}) {
    const index = libc.symbols.if_nametoindex(new TextEncoder().encode(interfaceName + "\0"));
    check(index === 0 ? -1 : 0, `find the interface "${interfaceName}"`);
    const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
    this.fd = check(
      libc.symbols.socket(AF_PACKET, type, ALL_PROTOCOLS),
      `open a packet socket on "${interfaceName}"`,
    );
    if (options.vnetHeader) {
      const on = new Uint8Array(new Int32Array([1]).buffer);
      check(
        libc.symbols.setsockopt(this.fd, SOL_PACKET, PACKET_VNET_HDR, on, on.length),
        "put headers in front of frames",
      );
    }
    const address = Address.create({
      family: AF_PACKET,
      protocol: ALL_PROTOCOLS,
      ifindex: index,
    });
    check(
      libc.symbols.bind(this.fd, address.$bytes, address.$bytes.length),
      `bind a packet socket to "${interfaceName}"`,
    );
  }

  /** Whether the interface took it; one may drop what it likes. */
  send(frame: Uint8Array<ArrayBuffer>): boolean {
    const n = libc.symbols.send(this.fd, frame, BigInt(frame.length), 0);
    if (n < 0 && errno() === ENOBUFS) return false;
    return check(n, "send a frame") > 0;
  }

  /** The next frame that passed the interface, either way; undefined if there is none. */
  receive(): Uint8Array<ArrayBuffer> | undefined {
    const n = libc.symbols.recv(this.fd, this.#buffer, BigInt(this.#buffer.length), 0);
    if (n < 0 && errno() === EAGAIN) return undefined;
    return this.#buffer.slice(0, check(n, "receive a frame"));
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }
}
