/**
 * The log of all that a disk was asked to write, as QEMU's driver "blklogwrites" and Linux's dm-log-writes
 * keep it: a first sector that says how much there is, and then for each request a sector that says what
 * it was, with its bytes behind it.
 *
 * @module
 */

const MAGIC = 0x6a736677736872n;
const VERSION = 1n;
const FLAGS = { flush: 1n, fua: 2n, discard: 4n, mark: 8n };
const ENTRY_FIELDS_BYTES = 32;

/** The least that a disk writes whole. */
export const SECTOR_BYTES = 512;

/** One request, done. */
export interface LoggedWrite {
  /** All that was done before it is on the disk for good once it is done. */
  flush: boolean;
  /** It is on the disk for good itself. */
  fua: boolean;
  /** The bytes are forgotten, rather than written. */
  discard: boolean;
  /** Where on the disk, and how much, in bytes; 0 for a flush alone. */
  offset: number;
  bytes: number;
  /** Where in the log its bytes are. */
  data: number;
  /** Where in the log the next entry is: a log of this size had this one. */
  end: number;
}

/** Reads from a log. */
export interface LogBytes {
  size: number;
  /** Exactly so many bytes, which are there. */
  read(offset: number, bytes: number): Uint8Array;
}

/** What was done, in order. What a log that was broken off tells of no more is left out. */
export function readWriteLog(log: LogBytes): LoggedWrite[] {
  if (log.size < SECTOR_BYTES) throw bad(`it has ${log.size} bytes`);
  const first = view(log.read(0, SECTOR_BYTES));
  const magic = first.getBigUint64(0, true);
  if (magic !== MAGIC) throw bad(`bad magic 0x${magic.toString(16)}`);
  const version = first.getBigUint64(8, true);
  if (version !== VERSION) throw bad(`it is of version ${version}, and must be of ${VERSION}`);
  const count = first.getBigUint64(16, true);
  const sector = first.getUint32(24, true);
  if (sector < SECTOR_BYTES || sector > 4096 || (sector & (sector - 1)) !== 0) {
    throw bad(`its sectors have ${sector} bytes`);
  }
  const writes: LoggedWrite[] = [];
  let at = sector;
  while (BigInt(writes.length) < count && at + sector <= log.size) {
    const entry = readEntry(view(log.read(at, ENTRY_FIELDS_BYTES)), { at, sector });
    if (entry.end > log.size) break;
    writes.push(entry);
    at = entry.end;
  }
  return writes;
}

function readEntry(
  fields: DataView,
  { at, sector }: { at: number; sector: number },
): LoggedWrite {
  const [where, sectors, flags, extra] = [0, 8, 16, 24].map((it) => fields.getBigUint64(it, true));
  const most = BigInt(Number.MAX_SAFE_INTEGER) / 8192n;
  if (where > most || sectors > most || extra > most || flags > 15n) {
    throw bad(`its entry at ${at} is none`);
  }
  const has = (flag: bigint) => (flags & flag) !== 0n;
  const bytes = Number(sectors) * sector;
  const data = at + sector;
  const carried = has(FLAGS.mark) ? Number(extra) : has(FLAGS.discard) ? 0 : bytes;
  return {
    ...{ flush: has(FLAGS.flush), fua: has(FLAGS.fua), discard: has(FLAGS.discard) },
    ...{ offset: Number(where) * sector, bytes: has(FLAGS.mark) ? 0 : bytes, data },
    end: data + Math.ceil(carried / sector) * sector,
  };
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function bad(why: string): SyntaxError {
  return new SyntaxError(`Cannot read the log of writes: ${why}`);
}

/** A log in a file. */
export class LogFile implements LogBytes, Disposable {
  readonly #file: Deno.FsFile;
  readonly size: number;

  constructor(path: string) {
    this.#file = Deno.openSync(path);
    this.size = this.#file.statSync().size;
  }

  read(offset: number, bytes: number): Uint8Array {
    const found = new Uint8Array(bytes);
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    for (let at = 0; at < bytes;) {
      const count = this.#file.readSync(found.subarray(at));
      if (count === null) throw bad(`it ends at ${offset + at}`);
      at += count;
    }
    return found;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}
