/**
 * The registers of a network device: what the driver reads, and what it has set over the control queue.
 * All of it is state that outlives this process in a snapshot.
 *
 * @module
 */
import type { Arena } from "../../machine/arena.ts";
import { struct, type View } from "../../sys/struct.ts";
import type { TapFilter } from "../../sys/tap_offloads.ts";
import { MAC_BYTES, NetConfig, VIRTIO_NET_CTRL_RX } from "./net_protocol.ts";

/** Addresses that a driver's table has room for; Linux filters no more either before it takes all. */
export const MAX_TABLE = 64;

const NetRegistersV1 = struct("virtio_net", {
  config: ["u8", NetConfig.size],
  /** Pairs that the driver asked to be served, at least 1. */
  active_pairs: "u16",
  /** Bits numbered as the commands of VIRTIO_NET_CTRL_RX. */
  rx_mode: "u16",
  /** Bits of TUN_F. */
  offloads: "u32",
  /** Entries of the driver's address table; more than there is room for means all. */
  stations: "u32",
  groups: "u32",
  table: ["u8", MAX_TABLE * MAC_BYTES],
});

const BROADCAST = new Uint8Array(MAC_BYTES).fill(0xff);
const MODE = VIRTIO_NET_CTRL_RX;

export class NetRegisters {
  readonly state: View<typeof NetRegistersV1.fields>;
  readonly config: View<typeof NetConfig.fields>;

  constructor(arena: Arena, name: string) {
    this.state = arena.place(`${name}.net`, NetRegistersV1);
    const { buffer, byteOffset } = this.state.config;
    this.config = NetConfig.at(buffer, byteOffset);
  }

  /** As a driver finds them after a reset; the link's state is the host's. */
  reset(mac: Uint8Array): void {
    this.config.mac.set(mac);
    this.state.active_pairs = 1;
    this.state.offloads = 0;
    this.state.stations = this.state.groups = 0;
    // Until the driver says otherwise, it gets everything.
    this.state.rx_mode = 1 << MODE.PROMISC;
  }

  setRxMode(command: number, on: boolean): void {
    const bit = 1 << command;
    this.state.rx_mode = on ? this.state.rx_mode | bit : this.state.rx_mode & ~bit;
  }

  /**
   * Section 5.1.6.5.2.1: two tables, each a count and addresses. False if they are not. What is past
   * `data` was cut off because it could not be kept anyway.
   */
  setTables(data: Uint8Array, length: number): boolean {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    let at = 0;
    let kept = 0;
    const counts = [0, 0];
    for (let table = 0; table < 2; table++) {
      if (at + 4 > length) return false;
      const count = view.getUint32(at, true);
      at += 4;
      if (count > (length - at) / MAC_BYTES) return false;
      counts[table] = count;
      if (kept + count > MAX_TABLE) {
        // The other table cannot be kept either, nor need it be read.
        this.state.stations = table === 0 ? MAX_TABLE + 1 : counts[0];
        this.state.groups = MAX_TABLE + 1;
        return true;
      }
      this.state.table.set(data.subarray(at, at + MAC_BYTES * count), MAC_BYTES * kept);
      kept += count;
      at += MAC_BYTES * count;
    }
    this.state.stations = counts[0];
    this.state.groups = counts[1];
    return at === length;
  }

  /** Which frames the driver wants to receive; undefined for all. */
  filter(): TapFilter | undefined {
    const { rx_mode, stations, groups, table } = this.state;
    const is = (command: number) => (rx_mode & (1 << command)) !== 0;
    const tooMany = !is(MODE.NOUNI) && stations > MAX_TABLE;
    if (is(MODE.PROMISC) || is(MODE.ALLUNI) || tooMany) return undefined;
    const addresses: number[] = [];
    if (!is(MODE.NOUNI)) {
      addresses.push(...this.config.mac, ...table.subarray(0, MAC_BYTES * stations));
    }
    if (!is(MODE.NOBCAST)) addresses.push(...BROADCAST);
    const allMulticast = !is(MODE.NOMULTI) && (is(MODE.ALLMULTI) || groups > MAX_TABLE);
    if (!is(MODE.NOMULTI) && !allMulticast) {
      addresses.push(...table.subarray(MAC_BYTES * stations, MAC_BYTES * (stations + groups)));
    }
    // A filter of no address is none; this one matches nobody.
    if (addresses.length === 0) addresses.push(...new Uint8Array(MAC_BYTES));
    return { addresses: Uint8Array.from(addresses), allMulticast };
  }
}
