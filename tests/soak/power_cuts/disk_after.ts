/**
 * Makes the disk as it is after a power cut, out of the disk of before and the log of its writes.
 *
 * @module
 */
import { run } from "../../../scripts/setup/command.ts";
import type { Cut } from "./cut.ts";
import type { LogBytes, LoggedWrite } from "./write_log.ts";

/** So much is copied at a time. */
const CHUNK_BYTES = 4 * 1024 * 1024;

/** A disk that goes on with the log, from cut to cut. */
export class SafeDisk {
  readonly #path: string;
  readonly #log: LogBytes;
  readonly #writes: readonly LoggedWrite[];
  #done = 0;

  /** `path` is the disk before the first write, and is written to. */
  constructor(path: string, log: LogBytes, writes: readonly LoggedWrite[]) {
    this.#path = path;
    this.#log = log;
    this.#writes = writes;
  }

  /** Makes `path` the disk after the cut; cuts come in the order of time. */
  async after(cut: Cut, path: string): Promise<void> {
    if (cut.safe < this.#done) throw new RangeError(`Cannot go back to write ${cut.safe}`);
    {
      using disk = Deno.openSync(this.#path, { write: true });
      for (; this.#done < cut.safe; this.#done++) {
        const write = this.#writes[this.#done];
        this.#put(disk, write, { from: 0, bytes: write.bytes });
      }
    }
    await run(["cp", "--sparse=always", "--reflink=auto", this.#path, path]);
    using disk = Deno.openSync(path, { write: true });
    for (const { write, from, bytes } of cut.reached) this.#put(disk, write, { from, bytes });
  }

  #put(
    disk: Deno.FsFile,
    write: LoggedWrite,
    { from, bytes }: { from: number; bytes: number },
  ): void {
    // What is forgotten reads as zeros, as QEMU's disks do.
    const zeros = write.discard ? new Uint8Array(Math.min(bytes, CHUNK_BYTES)) : null;
    for (let at = from; at < from + bytes; at += CHUNK_BYTES) {
      const count = Math.min(CHUNK_BYTES, from + bytes - at);
      const part = zeros?.subarray(0, count) ?? this.#log.read(write.data + at, count);
      disk.seekSync(write.offset + at, Deno.SeekMode.Start);
      for (let done = 0; done < count;) done += disk.writeSync(part.subarray(done));
    }
  }
}
