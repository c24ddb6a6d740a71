/**
 * A tap as a virtio-net device uses it: frames behind a virtio_net_hdr, and work left to the host's
 * network stack.
 *
 * @module
 */
import { check, EBUSY, ENOENT, EPERM, SysError } from "./errno.ts";
import { close } from "./files.ts";
import { ioctl, ioctlBuffer, iow } from "./ioctl.ts";
import { attach, interfaceExists } from "./tap.ts";

const TUNSETOFFLOAD = iow(0x54, 208, 4);
const TUNSETVNETHDRSZ = iow(0x54, 216, 4);

const TUN_F_CSUM = 1;
const TUN_F_TSO4 = 2;
const TUN_F_TSO6 = 4;

/** `struct virtio_net_hdr` with num_buffers, which virtio 1.0 and later always have. */
export const VNET_HEADER_BYTES = 12;

/** Opens a tap that exists, for reading and writing frames without blocking. */
export function openTap(name: string): number {
  if (!interfaceExists(name)) {
    throw new Error(
      `Cannot open the tap "${name}": there is no such interface (create it with: ip tuntap add ${name} mode tap vnet_hdr)`,
    );
  }
  let fd: number;
  try {
    fd = attach(name, { nonblocking: true });
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const why = error.errno === EBUSY
      ? "another guest uses it"
      : error.errno === EPERM
      ? "this process may not (it needs CAP_NET_ADMIN, or to be the tap's owner)"
      : error.errno === ENOENT
      ? "this kernel has no /dev/net/tun (load the module tun)"
      : `${error.message} (is it a tap, with one queue and vnet_hdr?)`;
    throw new Error(`Cannot open the tap "${name}": ${why}`, { cause: error });
  }
  try {
    const size = new Uint8Array(new Int32Array([VNET_HEADER_BYTES]).buffer);
    check(ioctlBuffer(fd, TUNSETVNETHDRSZ, size), `set the header size of the tap "${name}"`);
    setOffloads(fd, {});
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

export interface TapOffloads {
  /** The reader completes partial checksums itself. */
  csum?: boolean;
  /** The reader takes TCP segments larger than a frame. */
  tso4?: boolean;
  tso6?: boolean;
}

/** Tells the host's network stack what it may leave undone in frames that are read from `fd`. */
export function setOffloads(fd: number, offloads: TapOffloads): void {
  let bits = 0;
  // Without checksums, a segment could not be cut into frames.
  if (offloads.csum) {
    bits = TUN_F_CSUM | (offloads.tso4 ? TUN_F_TSO4 : 0) | (offloads.tso6 ? TUN_F_TSO6 : 0);
  }
  check(ioctl(fd, TUNSETOFFLOAD, bits), `set the offloads of descriptor ${fd}`);
}
