/**
 * A guest's memory out of a stream, into a mapping that nobody uses yet.
 *
 * The sender may be anybody: every header is checked against RAM's bounds before a byte behind it is
 * read. What comes can be any content, as any guest's memory can.
 *
 * @module
 */
import { DIRTY_PAGE_BYTES, type DirtyPages } from "../../machine/dirty_pages.ts";
import type { MemorySpec } from "../../machine/ram.ts";
import { InterruptibleWait, isToWait, POLLIN, setNonBlocking } from "../../sys/copying_io.ts";
import { SysError } from "../../sys/errno.ts";
import { Iovecs } from "../../sys/iovecs.ts";
import { bufferAt, map, type Mapping, replaceWithZeros } from "../../sys/mapping.ts";
import { discard } from "../../sys/memory_advice.ts";
import { VectoredStream } from "../../sys/vectored_io.ts";
import { isInAreas, mappedBytes, ramAreas } from "./ram_image.ts";
import {
  bitmapBytes,
  checkPlaces,
  checkRecord,
  checkStart,
  MAX_FOLLOW_BYTES,
  MAX_PACKED_BYTES,
  MAX_PLACES,
  PackedPlace,
  type RamPlace,
  RECORD,
  StreamRecord,
  StreamStart,
} from "./stream_format.ts";
import { FrameUnpacker } from "./zstd.ts";

/** Each is a mapping of its own to the kernel, which has no room for many. */
const MIN_CLEARED = 2 * 2 ** 20;

export interface ReceiverOptions {
  /** A pipe or a socket. It will not wait any more, whoever uses it. */
  fd: number;
  memory: MemorySpec;
  /** An eventfd: once it is signalled, nothing is waited for. */
  wakeFd: number;
  /** Throws if it is to end. */
  checkCancelled: () => void;
  /** A pass begins; so many bytes came until now, and so many are known to be left. */
  round?: (number: number, bytes: { received: number; left: number }) => void;
  /** An empty set, for pages that follow in another way: none may without. None of them is there then. */
  following?: DirtyPages;
  /** Pages may come packed. */
  mayPack?: boolean;
}

/**
 * Receives until the stream's end, behind which nothing is read, so that something else may follow.
 * Throws a RangeError that says what is wrong with it. Blocks that can be added are taken whether or not
 * they are plugged: whoever knows gives those back that are not.
 */
export function receiveRam(options: ReceiverOptions): { receivedBytes: number } {
  const { memory, following } = options;
  const areas = ramAreas(memory);
  const address = memory.viewAddress ?? memory.address;
  const bytes = new Uint8Array(bufferAt(address, mappedBytes(areas)));
  using input = new Input(options);
  const start = StreamStart.at(input.header(StreamStart.size));
  const mayPack = checkStart(start, areas, options);
  const unpacker = mayPack ? new FrameUnpacker() : undefined;
  const may = { mayFollow: following !== undefined, mayPack };
  let received = 0;
  input.header(StreamRecord.size);
  const record = StreamRecord.at(input.buffer);
  for (;;) {
    checkRecord(record, areas, may);
    const { kind, flags, offset, length } = record;
    switch (kind) {
      case RECORD.DATA:
        // With the next record, which there always is.
        input.read({ address: address + offset, length }, StreamRecord.size);
        received += length;
        continue;
      case RECORD.ZERO:
        // Of huge pages from the pool, only whole ones can be given back.
        if (!clear(memory, { address: address + offset, length })) {
          bytes.fill(0, offset, offset + length);
        }
        break;
      case RECORD.PACKED: {
        const { places, frame } = input.packed(flags, length);
        checkPlaces(places, { bytes: offset, areas });
        const unpacked = unpacker!.unpack(frame, offset);
        let at = 0;
        for (const place of places) {
          bytes.set(unpacked.subarray(at, at += place.length), place.offset);
        }
        received += offset;
        break;
      }
      case RECORD.ROUND:
        options.round?.(offset, { received, left: length });
        break;
      case RECORD.FOLLOW:
        following!.addLog(input.words(bitmapBytes(length)), offset);
        break;
      case RECORD.END:
        if (length !== received) {
          throw new RangeError(`Cannot receive memory: ${received} bytes came, not ${length}`);
        }
        if (following !== undefined) clearAll(memory, following);
        return { receivedBytes: received };
    }
    input.header(StreamRecord.size);
  }
}

/** Gives memory back; false where it cannot. */
function clear(memory: MemorySpec, { address, length }: { address: number; length: number }) {
  // Of a private copy, the file's content would be there again.
  if (memory.copied) return length >= MIN_CLEARED && replaceWithZeros(address, length);
  return discard(address, length, { private: memory.private ?? false }) >= 0;
}

/** What is old is not to be taken for what follows. */
function clearAll(memory: MemorySpec, pages: DirtyPages): void {
  const runs = pages.runs();
  while (runs.next()) {
    const { offset, length } = runs;
    if (!isInAreas(ramAreas(memory), offset, length)) {
      throw new RangeError(
        `Cannot receive memory: page ${offset / DIRTY_PAGE_BYTES} is not in RAM`,
      );
    }
    if (!clear(memory, { address: memory.address + offset, length })) {
      throw new RangeError(`Cannot receive memory: ${length} bytes at ${offset} do not go away`);
    }
  }
}

/** Reads exactly what is asked for. */
class Input implements Disposable {
  readonly buffer: ArrayBuffer;
  readonly #options: ReceiverOptions;
  readonly #headers = map(4096, { private: true });
  readonly #iovecs = new Iovecs(2);
  #bitmap: Mapping | undefined;
  #packed: Mapping | undefined;
  #places: RamPlace[] | undefined;
  readonly #stream: VectoredStream;
  readonly #wait: InterruptibleWait;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.buffer = this.#headers.buffer;
    setNonBlocking(options.fd);
    this.#stream = new VectoredStream(options.fd, this.#iovecs);
    this.#wait = new InterruptibleWait(options.wakeFd);
  }

  /** The next `length` bytes, in {@linkcode buffer}. */
  header(length: number): ArrayBuffer {
    this.#iovecs.set(0, this.#headers.address, length);
    this.#fill(1);
    return this.buffer;
  }

  /** The next `length` bytes, of a bitmap. */
  words(length: number): Uint32Array<ArrayBuffer> {
    const bitmap = this.#bitmap ??= map(bitmapBytes(MAX_FOLLOW_BYTES), { private: true });
    this.#iovecs.set(0, bitmap.address, length);
    this.#fill(1);
    return new Uint32Array(bitmap.buffer, 0, length / Uint32Array.BYTES_PER_ELEMENT);
  }

  /** The next places, and a frame of `length` bytes; both are there until something else is read. */
  packed(
    count: number,
    length: number,
  ): { places: readonly RamPlace[]; frame: Uint8Array<ArrayBuffer> } {
    const { address, buffer } = this.#packed ??= map(
      MAX_PLACES * PackedPlace.size + MAX_PACKED_BYTES,
      { private: true },
    );
    const places = this.#places ??= Array.from(
      { length: MAX_PLACES },
      (_, i) => PackedPlace.at(buffer, i * PackedPlace.size),
    );
    const at = count * PackedPlace.size;
    this.#iovecs.set(0, address, at + length);
    this.#fill(1);
    return { places: places.slice(0, count), frame: new Uint8Array(buffer, at, length) };
  }

  /** What belongs into memory, and a header behind it. */
  read(into: { address: number; length: number }, headerBytes: number): void {
    this.#iovecs.set(0, into.address, into.length);
    this.#iovecs.set(1, this.#headers.address, headerBytes);
    this.#fill(2);
  }

  #fill(count: number): void {
    const { fd, checkCancelled } = this.#options;
    let first = 0;
    while (first < count) {
      const n = this.#stream.read(count - first, first);
      if (n > 0) first += this.#iovecs.advance(first, count - first, n);
      else if (n === 0) throw new RangeError("Cannot receive memory: it ended before its end");
      else if (!isToWait(n)) throw new SysError("receive memory", -n);
      else {
        this.#wait.until(fd, POLLIN);
        checkCancelled();
      }
    }
  }

  [Symbol.dispose](): void {
    this.#iovecs.free();
    this.#headers.unmap();
    this.#bitmap?.unmap();
    this.#packed?.unmap();
  }
}
