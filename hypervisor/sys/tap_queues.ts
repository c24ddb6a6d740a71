/**
 * The queues of a tap: a descriptor each, over which the host's network stack spreads flows.
 *
 * @module
 */
import { check, EBUSY, EINVAL, ENOENT, EPERM, errno, SysError } from "./errno.ts";
import { close } from "./files.ts";
import { ioctlBuffer, iow } from "./ioctl.ts";
import { attach, FlagsRequest, interfaceExists } from "./tap.ts";
import { prepareTap } from "./tap_offloads.ts";

const TUNSETQUEUE = iow(0x54, 217, 4);
const IFF_ATTACH_QUEUE = 0x0200;
const IFF_DETACH_QUEUE = 0x0400;

export interface OpenTapOptions {
  /** How many are wanted; 1 without. */
  queues?: number;
  /** Fewer will not do. */
  exactly?: boolean;
}

/**
 * Opens a tap that exists, for reading and writing frames without blocking: a descriptor for each queue,
 * of which the first is in use and the others wait for {@linkcode useQueue}. A tap with a single queue
 * gives one, however many are wanted.
 */
export function openTap(name: string, options: OpenTapOptions = {}): number[] {
  const { queues = 1, exactly = false } = options;
  if (!interfaceExists(name)) {
    const kind = queues > 1 ? "vnet_hdr multi_queue" : "vnet_hdr";
    throw new Error(
      `Cannot open the tap "${name}": there is no such interface (create it with: ip tuntap add ${name} mode tap ${kind})`,
    );
  }
  const fds: number[] = [];
  try {
    const several = openFirst(name, { fds, preferSeveral: queues > 1 });
    if (several && othersUse(name)) throw new SysError(`open the tap "${name}"`, EBUSY);
    if (!several && queues > 1 && exactly) {
      throw new Error(
        `Cannot open the tap "${name}" with ${queues} queues: it has one (create it with: ip tuntap add ${name} mode tap vnet_hdr multi_queue)`,
      );
    }
    while (several && fds.length < queues) {
      fds.push(attach(name, { nonblocking: true, multiQueue: true }));
      useQueue(fds.at(-1)!, false);
    }
    prepareTap(fds[0]);
    return fds;
  } catch (error) {
    for (const fd of fds) close(fd);
    if (!(error instanceof SysError)) throw error;
    throw new Error(`Cannot open the tap "${name}": ${reason(error)}`, { cause: error });
  }
}

/** True if the tap may have several queues. */
function openFirst(name: string, options: { fds: number[]; preferSeveral: boolean }): boolean {
  const { fds, preferSeveral } = options;
  // What a tap is cannot be asked for, only tried.
  for (const multiQueue of [preferSeveral, !preferSeveral]) {
    try {
      fds.push(attach(name, { nonblocking: true, multiQueue }));
      return multiQueue;
    } catch (error) {
      const last = multiQueue !== preferSeveral;
      if (last || !(error instanceof SysError) || error.errno !== EINVAL) throw error;
    }
  }
  throw new Error("unreachable");
}

/** Whether a tap with several queues has any besides the one that was just opened, where that can be seen. */
function othersUse(name: string): boolean {
  try {
    const queues = [...Deno.readDirSync(`/sys/class/net/${name}/queues`)];
    return queues.filter((queue) => queue.name.startsWith("tx-")).length > 1;
  } catch {
    return false;
  }
}

function reason({ errno, message }: SysError): string {
  switch (errno) {
    case EBUSY:
      return "another guest uses it";
    case EPERM:
      return "this process may not (it needs CAP_NET_ADMIN, or to be the tap's owner)";
    case ENOENT:
      return "this kernel has no /dev/net/tun (load the module tun)";
  }
  return `${message} (is it a tap with vnet_hdr?)`;
}

/**
 * Puts a queue of a tap with several into use or takes it out: flows go to those in use. What waited in
 * one that is taken out is dropped.
 */
export function useQueue(fd: number, on: boolean): void {
  const request = FlagsRequest.create({ flags: on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE });
  const result = ioctlBuffer(fd, TUNSETQUEUE, request.$bytes);
  // The interface was removed: it uses no queue.
  if (result < 0 && !on && errno() === EINVAL) return;
  check(result, `${on ? "use" : "leave"} a queue of the tap`);
}
