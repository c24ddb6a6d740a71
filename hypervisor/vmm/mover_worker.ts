/**
 * The mover's thread: it copies a guest's memory to a file or a stream while the guest runs, or fills a
 * new guest's from a stream. All its calls may wait; nobody waits for it.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { DirtyPages } from "../machine/dirty_pages.ts";
import type { MemorySpec } from "../machine/ram.ts";
import { signal } from "../sys/eventfd.ts";
import { nameThread } from "../sys/threads.ts";
import { ChangeLog, type TrackingSpec } from "./dirty_tracking.ts";
import { type CopyControl, RamCopier } from "./move/copier.ts";
import { FileSink } from "./move/file_sink.ts";
import { MoverState } from "./move/mover_state.ts";
import { Pacing } from "./move/pacing.ts";
import { type Compression, Packing } from "./move/packing.ts";
import { mappedBytes, RamImage } from "./move/ram_image.ts";
import type { RamSink } from "./move/sink.ts";
import { receiveRam } from "./move/stream_receiver.ts";
import { StreamSink } from "./move/stream_sink.ts";

/** To an empty file, or to one that holds an earlier copy, all that has changed since. */
export interface FileTask {
  kind: "file";
  fd: number;
  /** Without, memory is copied while the guest stands still. */
  tracking?: TrackingSpec;
  full: boolean;
  /** The earlier copy as which the empty file is to begin, unless it is full. */
  base?: number;
  /** For the digests of all chunks; with those of the earlier copy if it is not full. */
  digests?: SharedArrayBuffer;
  /** An empty set, for all changes that are taken: to be given back should the copy be for nothing after all. */
  taken?: SharedArrayBuffer;
}

/** All of it, to a pipe or a socket. */
export interface StreamTask {
  kind: "stream";
  fd: number;
  /** Of a private copy only what is not in its file, which the receiver has, too. */
  beside?: boolean;
  /** As with a file. */
  tracking?: TrackingSpec;
  taken?: SharedArrayBuffer;
  /** An empty set, for pages that were not sent in the end, and follow in another way if they may. */
  following?: SharedArrayBuffer;
  /** Pages are packed, which the receiver has to be able to unpack; they are not without. */
  compress?: Compression;
}

/** From a pipe or a socket, into memory that no guest uses yet. */
export interface ReceiveTask {
  kind: "receive";
  fd: number;
  /** As with {@linkcode StreamTask}, of which none is there then. */
  following?: SharedArrayBuffer;
  /** Pages may come packed. */
  mayPack?: boolean;
}

/** What to do; descriptors are the caller's, and stay open. */
export type MoverTask = FileTask | StreamTask | ReceiveTask;

export interface MoverSpec {
  task: MoverTask;
  memory: MemorySpec;
  /** A {@linkcode MoverState}. */
  state: SharedArrayBuffer;
  /** An eventfd that is signalled where the state has changed. */
  changedFd: number;
  /** An eventfd on which the mover is woken. */
  wakeFd: number;
}

/** It was told to end. */
class Cancelled extends Error {}

self.onmessage = ({ data }: MessageEvent<MoverSpec>) => {
  const state = new MoverState(data.state);
  try {
    nameThread("mover");
    new Mover(data, state).run();
    state.enter("done");
  } catch (error) {
    if (error instanceof Cancelled) state.enter("cancelled");
    else state.fail((error as Error).message);
  }
  signal(data.changedFd);
  state.leave();
  self.close();
};

class Mover {
  readonly #spec: MoverSpec;
  readonly #state: MoverState;

  constructor(spec: MoverSpec, state: MoverState) {
    this.#spec = spec;
    this.#state = state;
  }

  readonly #checkCancelled = () => {
    if (this.#state.isCancelled) throw new Cancelled("It was cancelled");
  };

  run(): void {
    this.#checkCancelled();
    this.#enter("moving");
    const { task } = this.#spec;
    if (task.kind === "receive") this.#receive(task);
    else this.#copy(task);
  }

  #enter(phase: "moving" | "ready" | "finishing" | "copied"): void {
    this.#state.enter(phase);
    signal(this.#spec.changedFd);
  }

  #receive({ fd, following, mayPack }: ReceiveTask): void {
    const { memory, wakeFd } = this.#spec;
    const state = this.#state;
    const { receivedBytes } = receiveRam({
      fd,
      memory,
      wakeFd,
      mayPack,
      checkCancelled: this.#checkCancelled,
      following: following && new DirtyPages(following),
      round(number, { received, left }) {
        state.movedBytes = received;
        state.round(number, { bytes: left, changedBytesPerSecond: 0, bytesPerSecond: 0 });
      },
    });
    state.movedBytes = receivedBytes;
  }

  #copy(task: FileTask | StreamTask): void {
    const { memory } = this.#spec;
    const image = new RamImage(memory, { beside: task.kind === "stream" && task.beside });
    const length = mappedBytes(image.areas);
    const { taken } = task;
    const following = task.kind === "stream" ? task.following : undefined;
    const set = (buffer?: SharedArrayBuffer) =>
      buffer ? new DirtyPages(buffer) : DirtyPages.of(length);
    const compress = task.kind === "stream" ? task.compress : undefined;
    const packing = compress && new Packing(compress);
    const changes = task.tracking && new ChangeLog(task.tracking);
    let sink: RamSink | undefined;
    try {
      sink = this.#sink(task, image, packing);
      const copier = new RamCopier({
        image,
        sink,
        changes,
        control: this.#control(packing),
        sets: [set(following), set(taken)],
        full: task.kind === "stream" || task.full,
      });
      copier.run();
      this.#state.movedBytes = sink.sentBytes;
      this.#state.wireBytes = sink.wireBytes;
      this.#enter("copied");
      try {
        sink.settle();
      } catch (error) {
        copier.giveBack();
        throw error;
      }
    } finally {
      sink?.close();
      packing?.close();
      changes?.close();
      image.close();
    }
  }

  #sink(task: FileTask | StreamTask, image: RamImage, packing?: Packing): RamSink {
    const { fd } = task;
    const { address, areas } = image;
    if (task.kind === "file") {
      return new FileSink({
        ...{ fd, address, length: mappedBytes(areas), isNew: task.full, base: task.base },
        digests: task.digests && new Uint8Array(task.digests),
        checkCancelled: this.#checkCancelled,
      });
    }
    const { wakeFd } = this.#spec;
    const checkCancelled = this.#checkCancelled;
    return new StreamSink({ fd, address, areas, wakeFd, checkCancelled, packing });
  }

  #control(packing?: Packing): CopyControl {
    const state = this.#state;
    const pacing = new Pacing();
    const spec = this.#spec;
    const checkCancelled = this.#checkCancelled;
    const enter = (phase: "ready" | "finishing") => this.#enter(phase);
    return {
      get allowedPauseMs() {
        return state.allowedPauseMs;
      },
      get isFinishing() {
        return state.isFinishing;
      },
      get mayFollow() {
        return state.mayFollow;
      },
      pace(sentBytes, wireBytes) {
        state.movedBytes = sentBytes;
        state.wireBytes = wireBytes;
        // A new limit, a command: whatever comes, it is looked at after this.
        const ms = pacing.wait(wireBytes, state.isFinishing ? 0 : state.limit);
        if (ms > 0) {
          state.wait(ms);
          packing?.waited(ms);
        }
        checkCancelled();
      },
      round({ number, bytes, changedBytesPerSecond, bytesPerSecond }) {
        state.round(number, { bytes, changedBytesPerSecond, bytesPerSecond });
        if (state.isFinishing) enter("finishing");
        else signal(spec.changedFd);
      },
      ready() {
        enter("ready");
        while (!state.isFinishing) {
          state.wait();
          checkCancelled();
        }
      },
      stalled(rounds) {
        state.stalled(rounds);
        signal(spec.changedFd);
      },
    };
  }
}
