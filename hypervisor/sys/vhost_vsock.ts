/**
 * vhost-vsock: the kernel serves a socket device, whose other ends are AF_VSOCK sockets of the host.
 *
 * @module
 */
import { check, EADDRINUSE, SysError } from "./errno.ts";
import { close, O_RDWR, open } from "./files.ts";
import { ioctlBuffer } from "./ioctl.ts";
import { replace } from "./passed_descriptors.ts";
import { VHOST } from "./vhost.ts";

const PATH = "/dev/vhost-vsock";
/** How often to look whether an address has become free, in milliseconds. */
const LOOK_AGAIN_MS = 1;

/**
 * A descriptor of /dev/vhost-vsock, for the guest `cid`, which no other guest of the host may have. Without,
 * it has no address yet: see {@linkcode takeVsockAddress}.
 */
export function openVhostVsock(cid?: number): number {
  const fd = open(PATH, O_RDWR);
  try {
    if (cid !== undefined) takeVsockAddress(fd, cid);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/**
 * Makes `cid` the address of a descriptor that has none, or that very one. Throws where another descriptor
 * still has it after so long: one of a process that was killed has it for a moment.
 */
export function takeVsockAddress(
  fd: number,
  cid: number,
  { patienceMs = 0 }: { patienceMs?: number } = {},
): void {
  const bytes = new Uint8Array(new BigUint64Array([BigInt(cid)]).buffer);
  for (const deadline = performance.now() + patienceMs;;) {
    try {
      check(ioctlBuffer(fd, VHOST.VSOCK_SET_GUEST_CID, bytes), `take the vsock address ${cid}`);
      return;
    } catch (error) {
      const isTaken = error instanceof SysError && error.errno === EADDRINUSE;
      if (!isTaken || performance.now() >= deadline) throw error;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_AGAIN_MS);
  }
}

/**
 * Has `fd` be as one that was just opened: its address is free when this returns, and streams of the host's
 * programs to there are reset. The kernel knows no other way: what a vhost-vsock serves is the process that
 * owns it, for good, and an address is its descriptor's.
 */
export function renewVhostVsock(fd: number): void {
  replace(fd, open(PATH, O_RDWR));
}

/** Starts once the rings are set, or stops, after which nothing touches them. */
export function runVhostVsock(fd: number, running: boolean): void {
  const bytes = new Uint8Array(new Int32Array([running ? 1 : 0]).buffer);
  check(
    ioctlBuffer(fd, VHOST.VSOCK_SET_RUNNING, bytes),
    `${running ? "start" : "stop"} vhost-vsock`,
  );
}
