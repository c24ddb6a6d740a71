/**
 * The Ethernet segment that two PCs of the lab share: a unix socket between their QEMUs, which leads nowhere
 * else.
 *
 * @module
 */
import { removeTree } from "../setup/built_once.ts";

/** The network of the segment, in which a PC's last byte is its number. */
export const LINK_NETWORK = "10.97.0";

/** In every PC that has it: where its card is to be found, and the name that it is given there. */
const SLOT = "1e";

/** The card; a saved state fits PCs with it, or without. */
export const LINK_DEVICE = ["-device", `virtio-net-pci,netdev=link,addr=0x${SLOT}`];

/**
 * Of a PC that is saved before it has anybody to be linked with. Of all that QEMU has for that, this keeps no
 * state of its own, which another network could not be given.
 */
export const UNLINKED = ["-netdev", "hubport,id=link,hubid=0"];

/**
 * Gives the card its name, and addresses by the PC's number: of several that go on from one saved state, all
 * have the same. Then the command runs.
 */
const SET_UP = `
card=$(basename /sys/bus/pci/devices/0000:00:${SLOT}.0/virtio*/net/*) &&
ip link set dev "$card" name link address 52:54:00:97:00:0$0 &&
ip addr add ${LINK_NETWORK}.$0/24 dev link && ip link set dev link up && exec "$@"`.trim();

export class Link implements AsyncDisposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "lab-link-" });

  /** What connects the PC of this number: the first is the one to start first. */
  netdev(host: number): string[] {
    const end = host === 1 ? "server=on" : "server=off";
    const socket = `addr.type=unix,addr.path=${this.#folder}/socket`;
    return ["-netdev", `stream,id=link,${end},${socket}`];
  }

  /** Nobody connects any more: what is connected stays so. */
  async [Symbol.asyncDispose](): Promise<void> {
    await removeTree(this.#folder);
  }
}

/** What the PC of this number is to run, so that it has its addresses before the command does. */
export function onLink(host: number, command: readonly string[]): string[] {
  return ["sh", "-c", SET_UP, String(host), ...command];
}
