/**
 * A running guest goes to another host, with its disks: see the README for the steps, and what holds after
 * a cut at each.
 *
 * @module
 */
import type { GuestLife } from "../lives/guest_life.ts";
import { askVmm, statusOf } from "../lives/control_client.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import type { Work } from "../lives/tasks.ts";
import type { VmmProcess } from "../lives/vmm_process.ts";
import type { MoveStore } from "../store/moves.ts";
import type { PeerRecord } from "../store/peers.ts";
import type { PeerChannel } from "./channel.ts";
import type { Processor } from "./cpu_features.ts";
import { SourceFile } from "./disk_files.ts";
import type { DiskTracking } from "./disk_tracking.ts";
import { imagesOf } from "./image_offers.ts";
import { MemoryWay } from "./memory_way.ts";
import { ask, Done, MoveAnswer, type OfferMade } from "./messages.ts";
import { Mirror, type MirroredDisk } from "./mirror.ts";
import { Pace } from "./pace.ts";
import { pack } from "./parcel.ts";
import { SharedStores } from "./shared_stores.ts";
import { SnapshotDeparture } from "./snapshot_departure.ts";
import { toldOf } from "./spoken.ts";
import { Touch } from "./touch.ts";
import { Chart } from "./chart.ts";
import { type SendLine, VmmSend } from "./vmm_send.ts";

const PREPARE_MS = 120_000;
const AWAIT_MS = 150_000;
const SEAL_MS = 120_000;
const PING_MS = 30_000;
/** How long a process that hung up may take to be gone. */
const END_MS = 500;
/** Between two looks at what was written, while memory goes. */
const ROUND_MS = 500;
/** Of the whole time, the VMM gets what is left, but at least so long. */
const LEAST_MS = 1_000;

export interface DepartureOptions {
  move: string;
  life: GuestLife;
  peer: PeerRecord;
  settings: {
    bytesPerSecond: number | null;
    allowedPauseMs: number;
    withinSeconds: number;
    slowDown: boolean;
    force: boolean;
    postCopy: boolean;
    compress: "auto" | "zstd" | "none";
    withoutSnapshots: boolean;
  };
  ground: MoveGround;
  store: MoveStore;
  processor: Processor;
  dial(): Promise<PeerChannel>;
  tracking(process: VmmProcess): DiskTracking;
  work: Work;
  /** Called when the guest is about to be given away, which from then on may have been. */
  giving(): void;
  /** Aborts when the supervisor goes, also where the task can no longer be cancelled. */
  released: AbortSignal;
}

/**
 * How it ended, unless it threw: the VMM said that it gave the guest away; it died, told to do so, and has
 * not let the guest go on; or nobody knows yet.
 */
export type DepartureEnd = "given" | "died" | "unclear";

/** Sends the guest. Where it throws, the guest is this host's still. */
export async function depart(options: DepartureOptions): Promise<DepartureEnd> {
  const { life, work, settings } = options;
  const deadline = Date.now() + settings.withinSeconds * 1000;
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new Error(`It has taken ${settings.withinSeconds} s`)),
    settings.withinSeconds * 1000,
  );
  const signal = AbortSignal.any([work.signal, late.signal]);
  const process = life.process!;
  work.phase("Asking the other host");
  const { ground, peer, dial } = options;
  const snapshots = settings.withoutSnapshots ? [] : ground.snapshots.list(life.record.id);
  const guest = life.record;
  using shared = await SharedStores.ask({ guest, snapshots, ground, peer, dial });
  using disks = new Disks(options, shared);
  try {
    using channel = await options.dial();
    const hangUp = () => channel.close();
    signal.addEventListener("abort", hangUp);
    try {
      return await new Departing(options, { process, channel, disks, shared, signal, deadline })
        .run(() => {
          // From here on nobody takes it back.
          clearTimeout(timer);
          signal.removeEventListener("abort", hangUp);
        });
    } finally {
      signal.removeEventListener("abort", hangUp);
    }
  } catch (error) {
    // The connection ends where it is given up, and that is no reason.
    signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** The guest's disks: those that go are opened. */
class Disks implements Disposable {
  readonly going: MirroredDisk[] = [];
  /** Of all. */
  readonly sizes: OfferMade["disks"] = [];

  constructor({ life, ground }: DepartureOptions, shared: SharedStores) {
    const { id, disks } = life.record;
    const { run } = life.process!;
    try {
      disks.forEach((disk, number) => {
        const path = ground.disks.path(id, disk);
        if (shared.tokenOf(disk) !== undefined) {
          this.sizes.push({ bytes: Deno.statSync(path).size, dataBytes: 0 });
          return;
        }
        const file = new SourceFile(path);
        this.sizes.push({ bytes: file.bytes, dataBytes: file.dataBytes });
        this.going.push({ number, device: run.find(disk.id)?.name ?? null, file, base: null });
      });
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const { file, base } of this.going) {
      file[Symbol.dispose]();
      base?.[Symbol.dispose]();
    }
  }
}

interface Way {
  process: VmmProcess;
  channel: PeerChannel;
  disks: Pick<Disks, "going" | "sizes">;
  shared: SharedStores;
  signal: AbortSignal;
  deadline: number;
}

class Departing {
  readonly #options: DepartureOptions;
  readonly #way: Way;
  readonly #pace: Pace;
  readonly #chart: Chart;
  readonly #touch: Touch;
  readonly #mirror: Mirror;
  readonly #snapshots: SnapshotDeparture;
  /** Nothing that throws after that has any say in whose the guest is. */
  #isGiving = false;

  constructor(options: DepartureOptions, way: Way) {
    this.#options = options;
    this.#way = way;
    const { work, settings, tracking, ground, life } = options;
    const { disks: { going }, shared, channel, signal, process } = way;
    this.#pace = new Pace(settings.bytesPerSecond);
    this.#chart = new Chart(work);
    this.#touch = new Touch(channel);
    this.#snapshots = SnapshotDeparture.of(life.record, {
      ground,
      without: settings.withoutSnapshots,
      tokenOf: (disk) => shared.tokenOf(disk),
    });
    this.#mirror = new Mirror({
      ...{ disks: going, channel, signal, touch: this.#touch, pace: this.#pace },
      tracking: tracking(process),
      moved: (bytes, more) => this.#chart.disks(bytes, more),
    });
  }

  async run(decided: () => void): Promise<DepartureEnd> {
    const { move, work, settings, store, life, peer } = this.#options;
    const { channel, signal } = this.#way;
    await this.#prepare();
    try {
      work.phase("Copying disks");
      await this.#findBases();
      await this.#mirror.begin();
      if (!await this.#mirror.catchUp() && !settings.force) {
        throw new Error("Its disks change as fast as they can be copied. Try again with force");
      }
      work.phase("Copying memory");
      store.begin({ move, guest: life.record.id, name: life.record.name, peer: peer.id });
      using memory = await MemoryWay.open(this.#options, this.#pace);
      const { bytesPerSecond, allowedPauseMs, slowDown, force, postCopy, compress } = settings;
      const giveUp = () => memory.close();
      signal.addEventListener("abort", giveUp);
      const send = await VmmSend.begin(this.#way.process.controlSocket, {
        ...{ socket: memory.socket, allowedPauseMs, slowDown, force },
        ...(bytesPerSecond !== null && { bytesPerSecond: Math.min(bytesPerSecond, 1e12) }),
        ...(postCopy && { postCopy }),
        compress,
        timeoutMs: Math.max(LEAST_MS, this.#way.deadline - Date.now()),
      });
      const cut = () => send[Symbol.dispose]();
      signal.addEventListener("abort", cut);
      this.#options.released.addEventListener("abort", cut);
      try {
        return await this.#follow(send, () => {
          signal.removeEventListener("abort", giveUp);
          signal.removeEventListener("abort", cut);
          decided();
        });
      } finally {
        cut();
        for (const it of [signal, this.#options.released]) it.removeEventListener("abort", cut);
        signal.removeEventListener("abort", giveUp);
      }
    } finally {
      if (!this.#isGiving) await this.#mirror.end();
      await channel.end();
    }
  }

  async #prepare(): Promise<void> {
    const { move, life, ground, processor } = this.#options;
    const { channel, process, disks: { sizes }, shared } = this.#way;
    const { record } = life;
    const snapshots = this.#snapshots;
    const images = await imagesOf(ground, [record, ...snapshots.records.map((it) => it.record)]);
    const vmm = statusOf(await askVmm(process.controlSocket, { op: "status" }));
    const { proofs: stores } = shared;
    const offer: OfferMade = {
      control: 1,
      ...toldOf(vmm),
      parcel: pack(record, process.run.file(), (disk) => shared.tokenOf(disk)),
      ...(stores !== undefined && { stores }),
      disks: sizes,
      images: images.map(({ offer }) => offer),
      snapshots: snapshots.offer(sizes),
      cpu: processor,
    };
    const asked = { answer: MoveAnswer, withinMs: PREPARE_MS };
    const { wanted } = await ask(channel, { op: "move", move, offer }, asked);
    // It has seen them.
    shared[Symbol.dispose]();
    const { dataBytes } = snapshots;
    this.#chart.begin(sizes.reduce((sum, disk) => sum + disk.dataBytes, dataBytes));
    for (const [i, { path }] of images.entries()) {
      const number = sizes.length + i;
      if (!wanted.includes(number)) continue;
      this.#options.work.phase(`Copying the ${images[i].offer.kind}`);
      using file = new SourceFile(path);
      for (const { position, bytes } of file.data()) {
        await this.#pace.take(bytes!.length);
        await channel.sayData(number, position, bytes!);
      }
    }
    await this.#sendSnapshots(sizes.length + images.length);
    await ask(channel, { op: "await" }, { answer: Done, withinMs: AWAIT_MS });
  }

  async #sendSnapshots(first: number): Promise<void> {
    if (this.#snapshots.records.length === 0) return;
    const { channel, signal } = this.#way;
    this.#options.work.phase("Copying snapshots");
    const moved = (bytes: number) => this.#chart.disks(bytes, 0);
    const way = { channel, signal, pace: this.#pace, touch: this.#touch, moved };
    await this.#snapshots.send(way, { first });
  }

  /** Where the other host begins with what a snapshot has, only what differs goes. */
  async #findBases(): Promise<void> {
    const { channel, disks: { going } } = this.#way;
    const bases = await this.#snapshots.bases({ channel });
    for (const disk of going) {
      const path = bases.get(disk.number);
      if (path !== undefined) disk.base = new SourceFile(path);
    }
  }

  /** What the VMM says while it sends, and the disks meanwhile. */
  async #follow(send: VmmSend, decided: () => void): Promise<DepartureEnd> {
    const stop = new AbortController();
    let broken: unknown;
    const mirroring = this.#mirrorOn(stop.signal).catch((error) => {
      broken = error;
      // Which ends what is said, and the guest goes on here.
      send[Symbol.dispose]();
    });
    let last: Exclude<SendLine, { sending: unknown } | { held: true }> | null = null;
    try {
      for await (const line of send.lines()) {
        if ("sending" in line) this.#chart.memory(line.sending);
        else if ("held" in line) {
          stop.abort();
          await mirroring;
          if (broken !== undefined) throw broken;
          await this.#give(send, decided);
        } else {
          // One that was lost on the way stays, and says no more.
          last = line;
          break;
        }
      }
    } catch (error) {
      // Whatever it was, the VMM may have heard that it may give the guest away.
      if (this.#isGiving) return "unclear";
      throw error;
    } finally {
      stop.abort();
      await mirroring;
    }
    const { store, move, work, released } = this.#options;
    if (last !== null && "sent" in last) {
      work.stoodStill(Math.round(last.pauseMs));
      if (last.wireBytes !== undefined) work.sent(last.bytes, last.wireBytes);
      store.setDeparture(move, "given");
      // Its VMM stands still for good, and nobody has any use for it.
      if (last.missingBytes !== undefined) await this.#options.life.end();
      return "given";
    }
    if (broken !== undefined) throw broken;
    if (last !== null) {
      // It says so before it gives anything away, and the guest goes on.
      store.setDeparture(move, "kept");
      throw new Error(last.error);
    }
    if (!this.#isGiving) throw new Error("Its VMM ended, or gave up without a word");
    await pause(END_MS, released);
    return !released.aborted && this.#way.process.hasEnded ? "died" : "unclear";
  }

  /** Brings what the guest writes while its memory goes. */
  async #mirrorOn(stop: AbortSignal): Promise<void> {
    const { channel } = this.#way;
    for (;;) {
      await pause(ROUND_MS, stop);
      if (stop.aborted) return;
      await this.#mirror.round();
      if (stop.aborted) return;
      await ask(channel, { op: "ping" }, { answer: Done, withinMs: PING_MS });
    }
  }

  /** The guest stands still: the rest of its disks goes, and then the guest itself. */
  async #give(send: VmmSend, decided: () => void): Promise<void> {
    const { work, store, move } = this.#options;
    const { channel, signal } = this.#way;
    work.phase("Handing over");
    this.#pace.lift();
    await this.#mirror.round();
    await ask(channel, { op: "seal" }, { answer: Done, withinMs: SEAL_MS });
    signal.throwIfAborted();
    work.phase("Handing over", { final: true });
    decided();
    this.#options.giving();
    this.#way.shared.doomRest();
    // Written down first: after a power cut, nothing else here would know that it may be given away.
    store.setDeparture(move, "giving");
    this.#isGiving = true;
    // Where it is not heard, what the VMM says next, or that it says nothing, tells why.
    await send.go().catch(() => {});
  }
}

async function pause(ms: number, stop: AbortSignal): Promise<void> {
  if (stop.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  stop.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
