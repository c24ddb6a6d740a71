/**
 * A guest that comes from another host: what is made for it here before it comes, and what becomes of
 * that. The README has the steps, and what holds after a cut at each.
 *
 * @module
 */
import { join } from "@std/path";
import { delay } from "@std/async";
import type { shareBlocks } from "../../sys/reflink.ts";
import { removeIfThere, renameDurably, syncDirectory, syncFile } from "../durable.ts";
import { freeBytes, RESERVED_BYTES } from "../host.ts";
import type { Images } from "../images/images.ts";
import { askVmm, statusOf } from "../lives/control_client.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import type { VmmProcess } from "../lives/vmm_process.ts";
import type { Status } from "../../vmm/control.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { PeerRecord } from "../store/peers.ts";
import { type Processor, whyNotOn } from "./cpu_features.ts";
import { sha256OfFile } from "./digests.ts";
import { TargetFile } from "./disk_files.ts";
import { type Frame, PeerError } from "./frames.ts";
import type { ImageOffer, MoveOffer } from "./messages.ts";
import { goingOn, unpackRecord } from "./parcel.ts";
import { disksHere, refuseOtherDisks, storesOf } from "./shared_stores.ts";
import { SnapshotArrival } from "./snapshot_arrival.ts";
import { whyNotSpoken } from "./spoken.ts";
import type { SnapshotParcel } from "./snapshot_parcel.ts";

const MIB = 1024 * 1024;
const POLL_MS = 50;
/** After so many more bytes it is looked whether there is still room for what is not a guest's. */
const LOOK_BYTES = 64 * MIB;

export interface ArrivalOptions {
  move: string;
  peer: PeerRecord;
  offer: MoveOffer;
  ground: MoveGround;
  processor: Processor;
  share: typeof shareBlocks;
}

/** An image that is taken over, or that is here by another name. */
interface ImageFile {
  offer: ImageOffer;
  /** What it is called here. */
  name: string;
  /** Where it is received; null where it is here. */
  temporary: string | null;
}

/** Until it is sealed: what is lost with the connection. */
export class Arrival {
  readonly move: string;
  readonly peer: PeerRecord;
  readonly record: GuestRecord;
  readonly socket: string;
  readonly #offer: MoveOffer;
  readonly #ground: MoveGround;
  readonly #images: ImageFile[];
  /** Names of storage that both hosts see, by tokens. */
  readonly #stores: ReadonlyMap<string, string>;
  /** Disks, then images; those that are here are not open. */
  readonly #files: (TargetFile | null)[];
  readonly #release: () => void;
  readonly #share: typeof shareBlocks;
  readonly snapshots: SnapshotArrival;
  #sinceLook = 0;
  process: VmmProcess | null = null;

  private constructor(
    { move, peer, offer, ground, share }: ArrivalOptions,
    { images, stores }: { images: ImageFile[]; stores: ReadonlyMap<string, string> },
    release: () => void,
  ) {
    this.#stores = stores;
    this.move = move;
    this.peer = peer;
    this.#offer = offer;
    this.#ground = ground;
    this.#images = images;
    this.#release = release;
    this.#share = share;
    this.record = this.#here(offer.parcel.record);
    this.snapshots = new SnapshotArrival({
      ...{ guest: this.record.id, offer: offer.snapshots, ground, share },
      here: (record) => this.#here(record),
      runHere: (run) => this.#runHere(run),
    });
    this.socket = join(ground.launcher.directory(this.record.id), "receive.sock");
    this.#files = [];
  }

  /** What an image is called here. */
  #imageHere<N extends string | null>(kind: ImageOffer["kind"], name: N): N | string {
    return this.#images.find(({ offer }) => offer.kind === kind && offer.name === name)?.name ??
      name;
  }

  #here(record: SnapshotParcel["record"]): GuestRecord {
    refuseUnoffered(this.#offer, record);
    const kernel = this.#imageHere("kernel", record.kernel);
    const initrd = this.#imageHere("initrd", record.initrd);
    return { ...unpackRecord(record, disksHere(record, this.#stores)), kernel, initrd };
  }

  #runHere(run: MoveOffer["parcel"]["run"]): MoveOffer["parcel"]["run"] {
    const kernel = this.#imageHere("kernel", run.started.kernel);
    const initrd = this.#imageHere("initrd", run.started.initrd);
    return { ...run, started: { ...run.started, kernel, initrd } };
  }

  /** Looks whether the guest can come, and makes room for it. Throws why it cannot. */
  static async prepare(options: ArrivalOptions): Promise<Arrival> {
    const { ground, offer, peer } = options;
    const { record } = offer.parcel;
    await refuseUnfit(options);
    const stores = await storesOf(offer, ground);
    disksHere(record, stores);
    const images = await Promise.all(
      offer.images.map((image) => imageFor(ground.images, image)),
    );
    // Nothing was waited for since; from here on its memory is promised to it.
    checkTaken(options);
    const release = ground.claims.hold(record.id, {
      reason: `it is on its way from "${peer.name}"`,
      memoryMiB: memoryOf(offer),
    });
    const arrival = new Arrival(options, { images, stores }, release);
    try {
      refuseOtherDisks(arrival.record, options);
      arrival.#open();
      return arrival;
    } catch (error) {
      await arrival.discard();
      throw error;
    }
  }

  /** The files of which bytes are to come, by their numbers: images only, as disks come in any case. */
  get wanted(): number[] {
    const first = this.#offer.disks.length;
    return this.#images.flatMap(({ temporary }, i) => temporary === null ? [] : [first + i]);
  }

  get #directory(): string {
    return this.#ground.disks.folder(this.record.id);
  }

  /** Without a row in the database, the next start removes all of it. */
  #open() {
    const { record, disks } = { record: this.record, disks: this.#offer.disks };
    Deno.mkdirSync(this.#directory, { mode: 0o700 });
    record.disks.forEach(({ file, store }, i) => {
      const path = join(this.#directory, file);
      this.#files.push(store === null ? new TargetFile(path, disks[i].bytes) : null);
    });
    for (const { temporary, offer } of this.#images) {
      this.#files.push(temporary === null ? null : new TargetFile(temporary, offer.bytes));
    }
  }

  /** The number of the first file of the snapshot that comes just now. */
  get firstOfSnapshot(): number {
    return this.#offer.disks.length + this.#images.length;
  }

  /** Puts what came where it belongs. */
  async take(frame: Exclude<Frame, { kind: "message" }>): Promise<void> {
    const file = this.#files[frame.file] ?? this.snapshots.file(frame.file - this.firstOfSnapshot);
    if (!file) {
      throw new PeerError(`Cannot understand the other host: a piece of file ${frame.file}`);
    }
    if (frame.kind === "zeros") return file.zero(frame.position, frame.length);
    file.write(frame.position, frame.bytes);
    this.#sinceLook += frame.bytes.length;
    if (this.#sinceLook < LOOK_BYTES) return;
    this.#sinceLook = 0;
    if (await freeBytes(this.#directory) >= RESERVED_BYTES) return;
    throw new Error(`Cannot take "${this.record.name}": there is no room left here`);
  }

  /** Has its disks begin as they are in the snapshot that it comes from; the numbers of those that do. */
  startDisks(): number[] {
    const { current } = this.#offer.snapshots;
    return this.record.disks.flatMap(({ id }, number) => {
      const base = this.snapshots.copyOf({ disk: id }, current);
      return base !== null && this.#files[number]?.startFrom(base, this.#share) ? [number] : [];
    });
  }

  /** All images have come: keeps them, and has a VMM wait for the guest. */
  async await(): Promise<void> {
    if (this.process !== null) throw new PeerError("Cannot await a guest twice");
    const { images, launcher } = this.#ground;
    for (const [i, { offer, name, temporary }] of this.#images.entries()) {
      if (temporary === null) continue;
      this.#close(this.#offer.disks.length + i);
      if (await sha256OfFile(temporary) !== offer.sha256) {
        throw new Error(`Cannot keep the ${offer.kind} "${offer.name}": it came damaged`);
      }
      await syncFile(temporary);
      // Another guest may have brought it meanwhile.
      if (images.get(offer.kind, name) === null) {
        renameDurably(temporary, images.path(offer.kind, name));
      }
    }
    const { parcel } = this.#offer;
    this.process = await launcher.receive(this.record, {
      // By another name, an image is the same.
      run: this.#runHere(parcel.run),
      socket: this.socket,
      config: (places) => goingOn({ record: this.record, run: parcel.run }, places).config,
    });
  }

  #close(number: number) {
    this.#files[number]?.[Symbol.dispose]();
    this.#files[number] = null;
  }

  /** All of the disks has come: returns once that is on this host's disk. */
  async sync(): Promise<void> {
    this.#files.forEach((_, i) => this.#close(i));
    for (const { file, store } of this.record.disks) {
      if (store === null) await syncFile(join(this.#directory, file));
    }
    syncDirectory(this.#directory);
    syncDirectory(join(this.#directory, ".."));
  }

  /** It is kept otherwise from here on: lets go of what only this held. */
  release(): void {
    this.#release();
  }

  /** Leaves nothing of it. */
  async discard(): Promise<void> {
    this.snapshots.discard();
    this.#files.forEach((_, i) => this.#close(i));
    for (const { temporary } of this.#images) if (temporary !== null) removeIfThere(temporary);
    if (this.process !== null) await endVmm(this.process, this.#ground);
    removeIfThere(this.#directory);
    this.#release();
  }
}

/** Ends a VMM that has no guest of this host's, and clears away after it. */
export async function endVmm(process: VmmProcess, ground: MoveGround): Promise<void> {
  await process.kill();
  while (!process.hasEnded) await delay(POLL_MS);
  await ground.launcher.cleanUp(process);
}

/** What a VMM that receives says of itself; null where it does not answer. */
export async function statusOfVmm(process: VmmProcess): Promise<Status | null> {
  try {
    return statusOf(await askVmm(process.controlSocket, { op: "status" }));
  } catch {
    return null;
  }
}

function memoryOf({ parcel: { run } }: MoveOffer): number {
  return run.started.memoryMiB + run.started.memory.requestedMiB;
}

async function refuseUnfit(options: ArrivalOptions): Promise<void> {
  const { ground, offer, processor } = options;
  const { record, run } = offer.parcel;
  checkTaken(options);
  if (offer.disks.length !== record.disks.length) {
    throw new PeerError("Cannot understand the other host: it does not tell of every disk");
  }
  const why = whyNotSpoken(offer.speaks) ??
    whyNotOn(processor, offer.cpu, run.started.cpu.model);
  if (why !== null) throw new Error(`Cannot take "${record.name}": ${why}`);
  refuseUnoffered(offer, record);
  const free = await freeBytes(ground.disks.directory);
  const needed = neededBytes(options);
  if (free < needed + RESERVED_BYTES) {
    const what = offer.snapshots.count > 0 ? "disks and snapshots" : "disks";
    throw new Error(
      `Cannot take "${record.name}": its ${what} have ${Math.ceil(needed / MIB)} MiB, and ` +
        `${Math.max(0, Math.floor((free - RESERVED_BYTES) / MIB))} MiB are free here`,
    );
  }
}

/** What its files take here at the least. */
function neededBytes({ ground, offer: { disks, snapshots } }: ArrivalOptions): number {
  if (snapshots.count > 0 && ground.snapshotFiles.canShare) return snapshots.sharedBytes;
  return disks.reduce((sum, { dataBytes }) => sum + dataBytes, snapshots.dataBytes);
}

function refuseUnoffered(
  { images }: MoveOffer,
  record: { kernel: string; initrd: string | null },
): void {
  for (const kind of ["kernel", "initrd"] as const) {
    const image = record[kind];
    if (image === null || images.some((it) => it.kind === kind && it.name === image)) continue;
    throw new PeerError("Cannot understand the other host: it does not offer every image");
  }
}

/** What may change while something is waited for. */
function checkTaken({ ground, offer }: ArrivalOptions): void {
  const { record } = offer.parcel;
  const { store, budget, disks } = ground;
  if (store.get(record.id) !== null || disks.has(record.id)) {
    throw new Error(`Cannot take "${record.name}": this host has a guest with its id already`);
  }
  store.refuseTakenName(record.name, record.id);
  record.nets.forEach(({ mac, id }) => store.refuseTakenMac(mac, id));
  store.refuseTakenDevices(record);
  budget.refuseTooMuch({ name: record.name, memoryMiB: memoryOf(offer) });
  budget.refuseUnfit({ ...record, verb: "take" }, memoryOf(offer));
}

/** The image by which a guest's next start goes: one that is here, or where it is to come to. */
async function imageFor(images: Images, offer: ImageOffer): Promise<ImageFile> {
  const { kind, name, bytes, sha256 } = offer;
  // Where another image has its name, it gets one that tells it apart, which it may have from before.
  const names = [name, `${name.slice(0, 80)}-${sha256.slice(0, 12)}`];
  for (const it of names) {
    const found = images.get(kind, it);
    if (found === null) {
      return { offer, name: it, temporary: images.arriving(kind) };
    }
    if (found.sizeBytes === bytes && await sha256OfFile(images.path(kind, it)) === sha256) {
      return { offer, name: it, temporary: null };
    }
  }
  throw new Error(`Cannot take the ${kind} "${name}": this host has two others of this name`);
}
