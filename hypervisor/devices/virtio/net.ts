/**
 * The network device (virtio 1.2, section 5.1): a tap on the host.
 *
 * Where the host has vhost-net, its kernel thread moves the packets and this file only sets it up; else
 * `net_tap.ts` moves them.
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";
import { setOffloads } from "../../sys/tap_offloads.ts";
import { vhostFeatures } from "../../sys/vhost.ts";
import { ConfigSpace } from "./config_space.ts";
import { type DeviceHost, VIRTIO_F, VIRTIO_ID, type VirtioDevice } from "./device.ts";
import { NET_QUEUE_SIZE, type NetBackend, VIRTIO_NET_F } from "./net_protocol.ts";
import { TapBackend } from "./net_tap.ts";
import { VhostBackend } from "./net_vhost.ts";
import type { QueueSetup } from "./queue.ts";

/** Section 5.1.4. */
export const NetConfig = struct("virtio_net_config", {
  mac: ["u8", 6],
  status: "u16",
  max_virtqueue_pairs: "u16",
  mtu: "u16",
});
const S_LINK_UP = 1;

/** Parses "52:54:00:12:34:56"; throws a SyntaxError, or a RangeError where it is not a station's address. */
export function parseMac(text: string): Uint8Array<ArrayBuffer> {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) {
    throw new SyntaxError(
      `Cannot parse MAC address "${text}": expected six hexadecimal bytes such as 52:54:00:12:34:56`,
    );
  }
  const mac = Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16));
  if ((mac[0] & 1) !== 0) {
    throw new RangeError(`Cannot use MAC address "${text}": it is a group's, not a station's`);
  }
  if (mac.every((byte) => byte === 0)) {
    throw new RangeError(`Cannot use MAC address "${text}": it is all zeros`);
  }
  return mac;
}

export interface NetOptions {
  /** Unique within the guest. */
  name: string;
  /** From `openTap`. */
  tap: number;
  /** From `openVhostNet`; -1 without. */
  vhost: number;
  /** Such as "52:54:00:12:34:56". */
  mac: string;
}

export class NetDevice implements VirtioDevice {
  readonly name: string;
  readonly id = VIRTIO_ID.net;
  readonly features: readonly number[];
  readonly queueSizes = [NET_QUEUE_SIZE, NET_QUEUE_SIZE];
  readonly offloaded: boolean;
  readonly #config: ConfigSpace;
  readonly #tap: number;
  readonly #vhost: number;
  #backend: NetBackend | undefined;

  constructor(options: NetOptions) {
    this.name = options.name;
    this.#tap = options.tap;
    this.#vhost = options.vhost;
    this.offloaded = options.vhost >= 0;
    const F = VIRTIO_NET_F;
    // These are the tap's doing. The rest has to be known to whoever serves the rings.
    const tap: number[] = [F.MAC, F.STATUS, F.CSUM, F.GUEST_CSUM];
    tap.push(F.HOST_TSO4, F.HOST_TSO6, F.GUEST_TSO4, F.GUEST_TSO6);
    const rings = [F.MRG_RXBUF, VIRTIO_F.INDIRECT_DESC, VIRTIO_F.EVENT_IDX];
    const known = this.offloaded ? vhostFeatures(options.vhost) : undefined;
    this.features = [...tap, ...rings.filter((bit) => known?.has(bit) ?? true)];
    const config = NetConfig.create({ status: S_LINK_UP, max_virtqueue_pairs: 1 });
    config.mac.set(parseMac(options.mac));
    this.#config = new ConfigSpace(config.$bytes);
  }

  readConfig(offset: number, size: number): number {
    return this.#config.read(offset, size);
  }

  /** Section 5.1.4: nothing in it is the driver's to write. */
  writeConfig(): void {}

  activate(
    host: DeviceHost,
    setup: { queues: readonly (QueueSetup | null)[]; features: ReadonlySet<number> },
  ): void {
    const { features } = setup;
    const [rx, tx] = setup.queues;
    if (!rx || !tx) {
      throw new RangeError(`Cannot activate ${this.name}: both its queues have to be enabled`);
    }
    // Section 5.1.3.1: without GUEST_CSUM the others mean nothing.
    setOffloads(this.#tap, {
      csum: features.has(VIRTIO_NET_F.GUEST_CSUM),
      tso4: features.has(VIRTIO_NET_F.GUEST_TSO4),
      tso6: features.has(VIRTIO_NET_F.GUEST_TSO6),
    });
    const options = { tap: this.#tap, queues: [rx, tx], features };
    this.#backend = this.offloaded
      ? new VhostBackend(host, { ...options, vhost: this.#vhost })
      : new TapBackend(host, options);
  }

  notify(index: number): void {
    this.#backend?.notify(index);
  }

  reset(): void {
    this.#backend?.stop();
    this.#backend = undefined;
  }
}
