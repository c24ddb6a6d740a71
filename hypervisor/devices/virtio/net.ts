/**
 * The network device (virtio 1.2, section 5.1): a tap on the host.
 *
 * Where the host has vhost-net, its kernel threads move the frames (`net_vhost.ts`) and this file only
 * connects them; else, and for a card with a rate limit, `net_tap.ts` moves them. Which of the two does
 * may change while the guest runs. The control queue is served here in any case.
 *
 * @module
 */
import type { Arena } from "../../machine/arena.ts";
import { EBADFD, SysError } from "../../sys/errno.ts";
import { discardFrames, sendFrame } from "../../sys/tap_frames.ts";
import { setCarrier, setFilter, setOffloads } from "../../sys/tap_offloads.ts";
import { useQueue } from "../../sys/tap_queues.ts";
import { vhostFeatures } from "../../sys/vhost.ts";
import { ConfigSpace } from "./config_space.ts";
import { type DeviceHost, type DeviceSetup, VIRTIO_ID, type VirtioDevice } from "./device.ts";
import { announcement } from "./net_announcement.ts";
import { ControlQueue, type NetCommands } from "./net_control.ts";
import { chosenOffloads, offeredFeatures, tapOffloads } from "./net_offloads.ts";
import { checkNetChange, formatMac, isStation, type NetOptions, parseMac } from "./net_options.ts";
import type { NetLimits, Pair } from "./net_pair.ts";
import {
  CONTROL_QUEUE_SIZE,
  NET_QUEUE_SIZE,
  RX,
  TX,
  VIRTIO_NET_F,
  VIRTIO_NET_S,
} from "./net_protocol.ts";
import { NetRegisters } from "./net_registers.ts";
import { TapBackend } from "./net_tap.ts";
import { VhostBackend } from "./net_vhost.ts";
import { trafficOf } from "./net_traffic.ts";
import { checkRings, NEW_QUEUE, type QueueState } from "./queue.ts";
import { checkRateLimit, RateLimiter } from "./rate_limit.ts";

/** The device between DRIVER_OK and reset. */
interface Session {
  host: DeviceHost;
  features: ReadonlySet<number>;
  pairs: Pair[];
  control?: ControlQueue;
}

export class NetDevice implements VirtioDevice {
  readonly name: string;
  readonly id = VIRTIO_ID.net;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  /** It watches its queues' notifications itself, where the kernel does not. */
  readonly offloaded = true;
  readonly #interfaceName: string;
  readonly #taps: readonly number[];
  readonly #vhosts: readonly number[];
  readonly #mac: Uint8Array;
  readonly #registers: NetRegisters;
  readonly #config: ConfigSpace;
  readonly #limits: NetLimits;
  /** What back-ends that are gone have counted. */
  readonly #past = { rejected: 0, oversized: 0 };
  #linkUp: boolean;
  /** The driver has not been told that the link is another than it was. */
  #linkIsNews = false;
  #session: Session | undefined;

  constructor(arena: Arena, options: NetOptions) {
    const { name, taps, vhosts, mtu, queueSize = NET_QUEUE_SIZE } = options;
    const pairs = taps.length;
    this.name = name;
    this.#interfaceName = options.interfaceName;
    this.#taps = taps;
    this.#vhosts = vhosts;
    this.#mac = parseMac(options.mac);
    this.queueSizes = [...new Array(2 * pairs).fill(queueSize), CONTROL_QUEUE_SIZE];
    this.features = offeredFeatures({
      pairs,
      mtu: mtu !== undefined,
      segmentsUdp: options.segmentsUdp ?? false,
      vhost: vhosts.length > 0 ? vhostFeatures(vhosts[0]) : undefined,
    });
    this.#linkUp = options.linkUp ?? true;
    this.#limits = {
      receive: new RateLimiter(options.receiveLimit),
      send: new RateLimiter(options.sendLimit),
      receiveAgain: () => this.#goOn(RX),
      sendAgain: () => this.#goOn(TX),
    };
    this.#registers = new NetRegisters(arena, name);
    const { config } = this.#registers;
    this.#config = new ConfigSpace(config.$bytes);
    // The first thread to come sets them; those that follow must not undo what a driver has set since.
    if (config.max_virtqueue_pairs !== 0) return;
    config.max_virtqueue_pairs = pairs;
    config.mtu = mtu ?? 0;
    config.status = this.#linkUp ? VIRTIO_NET_S.LINK_UP : 0;
    this.#registers.reset(this.#mac);
  }

  readConfig(offset: number, size: number): number {
    return this.#config.read(offset, size);
  }

  /** Section 5.1.4: nothing in it is the driver's to write. */
  writeConfig(): void {}

  activate(host: DeviceHost, setup: DeviceSetup): void {
    const { queues, features } = setup;
    const most = features.has(VIRTIO_NET_F.MQ) ? this.#taps.length : 1;
    const pairs: Pair[] = [];
    while (pairs.length < most) {
      const [rx, tx] = queues.slice(2 * pairs.length);
      if (!rx || !tx) break;
      for (const ring of [rx, tx]) {
        checkRings(host.memory, ring, { maxSize: this.queueSizes[ring.index] });
      }
      const [from, to] = [rx.state ?? NEW_QUEUE, tx.state ?? NEW_QUEUE];
      pairs.push({ rx, tx, state: { rx: from, tx: to } });
    }
    if (pairs.length === 0) {
      throw new RangeError(`Cannot activate ${this.name}: its first two queues have to be enabled`);
    }
    const session: Session = { host, features, pairs };
    const control = features.has(VIRTIO_NET_F.CTRL_VQ) ? queues[2 * most] : null;
    if (control) {
      const commands = this.#commands(session);
      session.control = new ControlQueue(host, { setup: control, features, commands });
    }
    this.#session = session;
    const { state } = this.#registers;
    try {
      if (setup.restored) {
        // What the driver has set since is in the registers, and nobody has told the tap of it.
        if (!(state.active_pairs >= 1 && state.active_pairs <= pairs.length)) {
          throw new RangeError(`Cannot use ${state.active_pairs} pairs of ${this.name}'s queues`);
        }
        setFilter(this.#taps[0], this.#registers.filter());
      } else state.offloads = tapOffloads(features);
      setOffloads(this.#taps[0], state.offloads);
      setCarrier(this.#taps[0], this.#linkUp);
      this.#servePairs();
    } catch (error) {
      this.reset();
      throw error;
    }
    this.#tellLink();
    // The driver may have filled it before anybody listened.
    session.control?.serve();
  }

  /** For hosts that do not watch notifications; see {@linkcode offloaded}. */
  notify(index: number): void {
    const session = this.#session;
    const pair = session?.pairs[index >> 1];
    if (pair) pair.backend?.notify(index & 1);
    else session?.control?.serve();
  }

  /** Has as many pairs served as the driver asked for, by whom they should be; none while the link is down. */
  #servePairs(): void {
    const session = this.#session;
    if (session === undefined) return;
    const { host, features, pairs } = session;
    const wanted = this.#linkUp ? this.#registers.state.active_pairs : 0;
    for (let i = pairs.length - 1; i >= wanted; i--) this.#stopPair(i);
    for (let i = 0; i < wanted; i++) {
      const pair = pairs[i];
      if (pair.backend !== undefined) continue;
      const tap = this.#taps[i];
      const options = { ...pair, tap, features };
      if (i > 0) useQueue(tap, true);
      try {
        pair.backend = this.#vhostServes
          ? new VhostBackend(host, { ...options, vhost: this.#vhosts[i] })
          : new TapBackend(host, { ...options, limits: this.#limits });
      } catch (error) {
        if (i > 0) useQueue(tap, false);
        throw error;
      }
      // What was made available to whoever served it before; either may find the ring broken.
      for (const direction of [RX, TX]) pair.backend?.notify(direction);
      if (this.#session !== session) return;
    }
  }

  /** False where the host could not; then all is as before. */
  #usePairs(pairs: number): boolean {
    const { state } = this.#registers;
    const before = state.active_pairs;
    try {
      state.active_pairs = pairs;
      this.#servePairs();
      return true;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      state.active_pairs = before;
      this.#servePairs();
      return false;
    }
  }

  logWrites(): void {
    for (const { backend } of this.#session?.pairs ?? []) backend?.logWrites?.();
  }

  get #vhostServes(): boolean {
    const limited = Object.keys({ ...this.#limits.receive.limit, ...this.#limits.send.limit });
    return this.#vhosts.length > 0 && limited.length === 0;
  }

  #stopPair(i: number): void {
    const pair = this.#session?.pairs[i];
    const backend = pair?.backend;
    if (pair === undefined || backend === undefined) return;
    pair.backend = undefined;
    pair.state = backend.stop();
    this.#past.rejected += backend.rejected;
    this.#past.oversized += backend.oversized;
    if (i > 0) useQueue(this.#taps[i], false);
  }

  #goOn(direction: number): void {
    for (const { backend } of this.#session?.pairs ?? []) backend?.notify(direction);
  }

  #commands(session: Session): NetCommands {
    const { state, config } = this.#registers;
    const { features } = session;
    const filtered = (): boolean => {
      setFilter(this.#taps[0], this.#registers.filter());
      return true;
    };
    const needs = (feature: number, command: () => boolean) => features.has(feature) && command();
    const F = VIRTIO_NET_F;
    return {
      setRxMode: (command, on) =>
        needs(command < 2 ? F.CTRL_RX : F.CTRL_RX_EXTRA, () => {
          this.#registers.setRxMode(command, on);
          return filtered();
        }),
      setTables: (data, length) =>
        needs(F.CTRL_RX, () => this.#registers.setTables(data, length) && filtered()),
      setMac: (mac) =>
        needs(F.CTRL_MAC_ADDR, () => {
          if (!isStation(mac)) return false;
          config.mac.set(mac);
          return filtered();
        }),
      announced: () =>
        needs(F.GUEST_ANNOUNCE, () => {
          config.status &= ~VIRTIO_NET_S.ANNOUNCE;
          return true;
        }),
      setPairs: (pairs) =>
        needs(F.MQ, () => {
          if (pairs < 1 || pairs > session.pairs.length) return false;
          return this.#usePairs(pairs);
        }),
      setOffloads: (low, high) =>
        needs(F.CTRL_GUEST_OFFLOADS, () => {
          const offloads = chosenOffloads(low, high, features);
          if (offloads < 0) return false;
          state.offloads = offloads;
          setOffloads(this.#taps[0], offloads);
          return true;
        }),
    };
  }

  /**
   * `linkUp`: plugs the cable in or out, for guest and host alike. `receiveLimit`, `sendLimit`: another
   * limit, or none with `{}`. `announce: true`: has the guest tell its neighbours where it is now.
   */
  change(change: Readonly<Record<string, unknown>>): void {
    checkNetChange(this.name, change);
    const { linkUp, announce } = change;
    const limits = (["receive", "send"] as const).flatMap((direction) => {
      const value = change[`${direction}Limit`];
      if (value === undefined) return [];
      const limit = checkRateLimit(value, `${this.name}'s ${direction}Limit`);
      return [{ limiter: this.#limits[direction], limit }];
    });
    // All of it is known to be right before any of it is done.
    if (limits.length > 0) this.#limit(limits);
    if (linkUp !== undefined) this.#plug(linkUp as boolean);
    if (announce === true) this.#askToAnnounce();
  }

  /** Switches learn at once where the card is; its driver, which knows more addresses, tells those. */
  announce({ first }: { first: boolean }): void {
    if (this.#session === undefined || !this.#linkUp) return;
    sendFrame(this.#taps[0], announcement(this.#registers.config.mac));
    if (first) this.#askToAnnounce();
  }

  #askToAnnounce(): void {
    if (!this.#session?.features.has(VIRTIO_NET_F.GUEST_ANNOUNCE)) return;
    this.#registers.config.status |= VIRTIO_NET_S.ANNOUNCE;
    this.#session.host.configChanged();
  }

  #limit(limits: { limiter: RateLimiter; limit: RateLimiter["limit"] }[]): void {
    const before = this.#vhostServes;
    for (const { limiter, limit } of limits) {
      limiter.cancel();
      limiter.limit = limit;
    }
    if (this.#vhostServes !== before) this.#session?.pairs.forEach((_, i) => this.#stopPair(i));
    this.#servePairs();
    for (const direction of [RX, TX]) this.#goOn(direction);
  }

  #plug(linkUp: boolean): void {
    const { config } = this.#registers;
    // Registers that were saved may be of another link.
    const isShown = (config.status & VIRTIO_NET_S.LINK_UP) !== 0;
    if (linkUp === this.#linkUp && linkUp === isShown) return;
    this.#linkUp = linkUp;
    if (linkUp) config.status |= VIRTIO_NET_S.LINK_UP;
    else config.status &= ~VIRTIO_NET_S.LINK_UP;
    // What was under way when the cable was out is lost, not late.
    if (linkUp) discardFrames(this.#taps[0]);
    setCarrier(this.#taps[0], linkUp);
    this.#servePairs();
    this.#linkIsNews = true;
    this.#tellLink();
  }

  #tellLink(): void {
    if (!this.#linkIsNews || this.#session === undefined) return;
    this.#linkIsNews = false;
    this.#session.host.configChanged();
  }

  /** Frames and bytes are counted by the tap, whoever moves them; null where it is out of sight. */
  report(): Record<string, unknown> {
    const { config, state } = this.#registers;
    const running = this.#session?.pairs.flatMap(({ backend }) => backend ?? []) ?? [];
    const sum = (key: "rejected" | "oversized") =>
      running.reduce((total, backend) => total + backend[key], this.#past[key]);
    const { receive, send } = this.#limits;
    return {
      linkUp: this.#linkUp,
      mac: formatMac(config.mac),
      mtu: config.mtu || null,
      backend: this.#session === undefined ? null : this.#vhostServes ? "vhost-net" : "tap",
      queuePairs: { active: state.active_pairs, most: this.#taps.length },
      ...trafficOf(this.#interfaceName),
      oversized: sum("oversized"),
      rejectedChains: sum("rejected") + (this.#session?.control?.rejected ?? 0),
      receiveLimit: { ...receive.limit, waits: receive.waits },
      sendLimit: { ...send.limit, waits: send.waits },
    };
  }

  /** The kernel's threads write to guest memory at any time, so they are stopped. */
  freeze(): readonly (QueueState | null)[] {
    const { pairs, control } = this.#session!;
    for (let i = pairs.length - 1; i >= 0; i--) this.#stopPair(i);
    const positions: (QueueState | null)[] = this.queueSizes.map(() => null);
    for (const { rx, tx, state } of pairs) {
      positions[rx.index] = state.rx;
      positions[tx.index] = state.tx;
    }
    if (control !== undefined) positions[control.index] = control.state;
    return positions;
  }

  thaw(): void {
    this.#servePairs();
  }

  settings(): Record<string, unknown> {
    const { receive, send } = this.#limits;
    return { linkUp: this.#linkUp, receiveLimit: receive.limit, sendLimit: send.limit };
  }

  reset(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#limits.receive.cancel();
    this.#limits.send.cancel();
    for (let i = session.pairs.length - 1; i >= 0; i--) this.#stopPair(i);
    session.control?.stop();
    this.#session = undefined;
    this.#registers.reset(this.#mac);
    this.#registers.config.status &= ~VIRTIO_NET_S.ANNOUNCE;
    try {
      setFilter(this.#taps[0], undefined);
    } catch (error) {
      // The interface was removed, and its filter with it.
      if (!(error instanceof SysError) || error.errno !== EBADFD) throw error;
    }
  }
}
