/**
 * A guest's snapshots go to another host before the guest does: each copy of a disk as what differs from the
 * one before it, where the other host can begin from that.
 *
 * @module
 */
import type { MoveGround } from "../lives/move_ground.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import { ContentDigest } from "./digests.ts";
import { SourceFile } from "./disk_files.ts";
import { ask, Done, SharedAnswer, type SnapshotsOffer } from "./messages.ts";
import type { TokenOf } from "./parcel.ts";
import { type SendingWay, sendPiece } from "./sending.ts";
import { isSameFile, packSnapshot, parentsFirst, type SnapshotFile } from "./snapshot_parcel.ts";

const ASK_MS = 120_000;
/** The other host reads all that came once more; so many bytes a second it can, and more. */
const CHECKED_BYTES_PER_SECOND = 20e6;
/** Bytes between two turns of the event loop. */
const TURN_BYTES = 8 << 20;

interface Parcelled {
  record: SnapshotRecord;
  parcel: ReturnType<typeof packSnapshot>["parcel"];
  files: SnapshotFile[];
}

export interface SnapshotWay extends SendingWay {
  /** So many bytes are done with. */
  moved(bytes: number): void;
}

/** A guest's snapshots, as they go. */
export class SnapshotDeparture {
  readonly #guest: GuestRecord;
  readonly #ground: MoveGround;
  readonly #current: string | null;
  /** Each after its parent. */
  readonly #all: Parcelled[];

  private constructor(guest: GuestRecord, ground: MoveGround, all: Parcelled[]) {
    this.#guest = guest;
    this.#ground = ground;
    this.#all = all;
    this.#current = all.length === 0 ? null : ground.snapshots.standing(guest.id).current;
  }

  /** With `without` none goes. */
  static of(
    guest: GuestRecord,
    { ground, without, tokenOf }: { ground: MoveGround; without: boolean; tokenOf: TokenOf },
  ): SnapshotDeparture {
    const records = without ? [] : parentsFirst(ground.snapshots.list(guest.id));
    const all = records.map((record) => ({
      record,
      ...packSnapshot(record, { files: ground.snapshotFiles, tokenOf }),
    }));
    return new SnapshotDeparture(guest, ground, all);
  }

  get records(): SnapshotRecord[] {
    return this.#all.map(({ record }) => record);
  }

  get dataBytes(): number {
    return sum(this.#all.flatMap(({ parcel }) => parcel.files.map((file) => file.dataBytes)));
  }

  /** What the other host is told; `disks` are the guest's own, in order. */
  offer(disks: readonly { dataBytes: number }[]): SnapshotsOffer {
    const most = new Map(this.#guest.disks.map(({ id }, i) => [id, disks[i].dataBytes]));
    for (const file of this.#all.flatMap(({ parcel }) => parcel.files)) {
      const of = "disk" in file ? file.disk : file.memory;
      most.set(of, Math.max(most.get(of) ?? 0, file.dataBytes));
    }
    return {
      count: this.#all.length,
      current: this.#current,
      dataBytes: this.dataBytes,
      // However much copies share, the largest is there whole.
      sharedBytes: sum([...most.values()]),
    };
  }

  /** Sends all of them, as files that are numbered from `first` on. */
  async send(way: SnapshotWay, { first }: { first: number }): Promise<void> {
    for (const it of this.#all) await this.#sendOne(it, way, first);
  }

  async #sendOne({ record, parcel, files }: Parcelled, way: SnapshotWay, first: number) {
    const { channel } = way;
    const asked = { answer: SharedAnswer, withinMs: ASK_MS };
    const { shared } = await ask(channel, { op: "snapshot", snapshot: parcel }, asked);
    const sha256: string[] = [];
    for (const [i, { path, parcel: file }] of files.entries()) {
      const number = first + i;
      const base = shared.includes(number) ? this.#copyOf(file, record.parent) : null;
      sha256.push(await this.#sendFile(path, way, { number, base }));
    }
    const checkMs = sum(parcel.files.map(({ dataBytes }) => dataBytes)) * 1000 /
      CHECKED_BYTES_PER_SECOND;
    const withinMs = ASK_MS + checkMs;
    await ask(channel, { op: "snapshot_end", sha256 }, { answer: Done, withinMs });
  }

  async #sendFile(
    path: string,
    way: SnapshotWay,
    { number, base }: { number: number; base: string | null },
  ): Promise<string> {
    using file = new SourceFile(path);
    using before = base === null ? null : new SourceFile(base);
    const digest = new ContentDigest(file.bytes);
    let sinceTurn = 0;
    for (const block of file.blocks(before ?? undefined)) {
      digest.add(block);
      for (const piece of block.differences) await sendPiece(way, number, piece);
      way.signal.throwIfAborted();
      await way.touch.keep();
      if (block.bytes !== null) way.moved(block.length);
      sinceTurn += block.length;
      if (sinceTurn < TURN_BYTES) continue;
      sinceTurn = 0;
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return digest.end();
  }

  /**
   * The files from which the guest's own disks begin at the other host, by the disks' numbers; asked for where
   * there is any.
   */
  async bases({ channel }: Pick<SnapshotWay, "channel">): Promise<Map<number, string>> {
    if (this.#current === null) return new Map();
    const asked = { answer: SharedAnswer, withinMs: ASK_MS };
    const { shared } = await ask(channel, { op: "disks" }, asked);
    return new Map(shared.flatMap((number) => {
      const disk = this.#guest.disks[number];
      const path = disk && this.#copyOf({ disk: disk.id }, this.#current);
      return path ? [[number, path] as const] : [];
    }));
  }

  /** What a snapshot has of the same disk, or of memory by the same name; null where it has none. */
  #copyOf(of: { disk: string } | { memory: string }, snapshot: string | null): string | null {
    const found = this.#all.find(({ record }) => record.id === snapshot)?.files;
    return found?.find(({ parcel }) => isSameFile(parcel, of))?.path ?? null;
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
