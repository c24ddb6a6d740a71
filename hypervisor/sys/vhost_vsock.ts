/**
 * vhost-vsock: the kernel serves a socket device, whose other ends are AF_VSOCK sockets of the host.
 *
 * @module
 */
import { check } from "./errno.ts";
import { close, O_RDWR, open } from "./files.ts";
import { ioctlBuffer } from "./ioctl.ts";
import { VHOST } from "./vhost.ts";

/** A descriptor of /dev/vhost-vsock for the guest `cid`, which no other guest of the host may have. */
export function openVhostVsock(cid: number): number {
  const fd = open("/dev/vhost-vsock", O_RDWR);
  const bytes = new Uint8Array(new BigUint64Array([BigInt(cid)]).buffer);
  try {
    check(ioctlBuffer(fd, VHOST.VSOCK_SET_GUEST_CID, bytes), `take the vsock address ${cid}`);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** Starts once the rings are set, or stops, after which nothing touches them. */
export function runVhostVsock(fd: number, running: boolean): void {
  const bytes = new Uint8Array(new Int32Array([running ? 1 : 0]).buffer);
  check(
    ioctlBuffer(fd, VHOST.VSOCK_SET_RUNNING, bytes),
    `${running ? "start" : "stop"} vhost-vsock`,
  );
}
