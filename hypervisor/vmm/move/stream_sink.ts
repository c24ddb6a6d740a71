/**
 * A guest's memory into a stream: records are gathered, and go out with the pages themselves in one
 * call, from where they lie.
 *
 * @module
 */
import { InterruptibleWait, isToWait, POLLOUT, setNonBlocking } from "../../sys/copying_io.ts";
import { SysError } from "../../sys/errno.ts";
import { Iovecs, MAX_IOVECS } from "../../sys/iovecs.ts";
import { bufferAt, map, type Mapping } from "../../sys/mapping.ts";
import { VectoredStream } from "../../sys/vectored_io.ts";
import type { Packing } from "./packing.ts";
import { mappedBytes, type RamArea } from "./ram_image.ts";
import type { RamSink } from "./sink.ts";
import type { DirtyPages } from "../../machine/dirty_pages.ts";
import {
  bitmapBytes,
  MAX_FOLLOW_BYTES,
  MAX_RECORD_BYTES,
  PackedPlace,
  type RamRecord,
  RECORD,
  StreamRecord,
  streamStart,
} from "./stream_format.ts";

/** A header and its bytes are an iovec each. */
const MAX_RECORDS = MAX_IOVECS / 2;
/** What goes out at once, unless there is no more: so that cancelling and limits take effect soon. */
const BATCH_BYTES = 2 ** 20;

export interface StreamSinkOptions {
  /** A pipe or a socket. It will not wait any more, whoever uses it. */
  fd: number;
  /** Where the memory lies that is sent. */
  address: number;
  areas: readonly RamArea[];
  /** An eventfd: once it is signalled, nothing is waited for. */
  wakeFd: number;
  /** Throws if it is to end. */
  checkCancelled: () => void;
  /** Has pages packed, which the receiver has to be able to unpack. It is the caller's to close. */
  packing?: Packing;
}

export class StreamSink implements RamSink {
  readonly mostBytes = MAX_RECORD_BYTES;
  sentBytes = 0;
  wireBytes = 0;
  readonly #options: StreamSinkOptions;
  readonly #packing: Packing | undefined;
  /** All of the mapping, to pack from. */
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #wait: InterruptibleWait;
  readonly #iovecs = new Iovecs(MAX_IOVECS);
  readonly #stream: VectoredStream;
  readonly #headers: Mapping;
  readonly #records: RamRecord[];
  #count = 0;
  #iovecCount = 0;
  #bytes = 0;
  /** {@linkcode sentBytes} and {@linkcode wireBytes} as they last were. */
  #told: readonly [memory: number, wire: number] = [0, 0];

  constructor(options: StreamSinkOptions) {
    const { address, areas, packing } = this.#options = options;
    this.#packing = packing;
    this.#memory = new Uint8Array(bufferAt(address, mappedBytes(areas)));
    setNonBlocking(options.fd);
    this.#wait = new InterruptibleWait(options.wakeFd);
    this.#stream = new VectoredStream(options.fd, this.#iovecs);
    const headers = this.#headers = map(MAX_RECORDS * StreamRecord.size, { private: true });
    this.#records = Array.from(
      { length: MAX_RECORDS },
      (_, i) => StreamRecord.at(headers.buffer, i * StreamRecord.size),
    );
    const start = streamStart(areas, { mayPack: packing !== undefined }).$bytes;
    new Uint8Array(headers.buffer).set(start);
    this.#iovecs.set(this.#iovecCount++, headers.address, start.length);
    this.#write();
  }

  round(number: number, bytes: number): void {
    // What comes later counts, and has to come later.
    this.#packGathered();
    this.#record(RECORD.ROUND, number, bytes);
    this.#packing?.begin();
  }

  data(offset: number, length: number): void {
    const packing = this.#packing;
    while (length > 0) {
      if (!packing?.packs) return this.#plain(offset, length);
      const taken = packing.add(this.#memory, { offset, length });
      offset += taken;
      length -= taken;
      if (packing.isFull) this.#packGathered();
    }
  }

  /** What is gathered goes, as a frame where that is smaller. */
  #packGathered(): void {
    const packing = this.#packing;
    if (packing === undefined || packing.gathered === 0) return;
    const { places, placeCount, gathered } = packing;
    const bytes = packing.pack();
    if (bytes === 0) {
      for (let i = 0; i < placeCount; i++) this.#plain(places[i].offset, places[i].length);
    } else {
      const record = this.#record(RECORD.PACKED, gathered, bytes);
      record.flags = placeCount;
      this.#iovecs.set(
        this.#iovecCount++,
        packing.address,
        placeCount * PackedPlace.size + bytes,
      );
      this.sentBytes += gathered;
      // The next one lies in the same place.
      this.#write();
    }
    packing.clear();
  }

  #plain(offset: number, length: number): void {
    this.#record(RECORD.DATA, offset, length);
    this.#iovecs.set(this.#iovecCount++, this.#options.address + offset, length);
    this.sentBytes += length;
    this.#bytes += length;
    if (this.#bytes >= BATCH_BYTES) this.#write();
  }

  zero(offset: number, length: number): void {
    this.#record(RECORD.ZERO, offset, length);
  }

  follow(pages: DirtyPages): void {
    this.#packGathered();
    const bitmap = map(bitmapBytes(MAX_FOLLOW_BYTES), { private: true });
    try {
      for (const { offset, length } of this.#options.areas) {
        for (let at = 0; at < length; at += MAX_FOLLOW_BYTES) {
          const about = Math.min(MAX_FOLLOW_BYTES, length - at);
          const bytes = bitmapBytes(about);
          pages.toLog(new Uint32Array(bitmap.buffer, 0, bytes / 4), offset + at);
          this.#record(RECORD.FOLLOW, offset + at, about);
          this.#iovecs.set(this.#iovecCount++, bitmap.address, bytes);
          // The next one has its bits in the same place.
          this.#write();
        }
      }
    } finally {
      bitmap.unmap();
    }
  }

  end(): void {
    this.#packGathered();
    this.#record(RECORD.END, 0, this.sentBytes);
    this.flush();
  }

  close(): void {
    this.#iovecs.free();
    this.#headers.unmap();
  }

  /** What was sent is with the receiver, which says so in its own way. */
  settle(): void {}

  #record(kind: number, offset: number, length: number): RamRecord {
    if (this.#count === MAX_RECORDS) this.#write();
    const record = this.#records[this.#count];
    record.kind = kind;
    record.flags = 0;
    record.offset = offset;
    record.length = length;
    const at = this.#headers.address + this.#count++ * StreamRecord.size;
    this.#iovecs.set(this.#iovecCount++, at, StreamRecord.size);
    return record;
  }

  flush(): void {
    this.#packGathered();
    this.#write();
  }

  #write(): void {
    const [memory, wire] = this.#told;
    let first = 0;
    while (first < this.#iovecCount) {
      const n = this.#stream.write(this.#iovecCount - first, first);
      if (n > 0) {
        first += this.#iovecs.advance(first, this.#iovecCount - first, n);
        this.wireBytes += n;
      } else if (!isToWait(n)) throw new SysError("send memory", -n);
      else this.#await();
    }
    this.#count = this.#iovecCount = this.#bytes = 0;
    this.#packing?.sent(this.sentBytes - memory, this.wireBytes - wire);
    this.#told = [this.sentBytes, this.wireBytes];
  }

  /** Returns once the other side takes more. */
  #await(): void {
    const { fd, checkCancelled } = this.#options;
    const began = performance.now();
    this.#wait.until(fd, POLLOUT);
    this.#packing?.waited(performance.now() - began);
    checkCancelled();
  }
}
