/**
 * A guest's memory without a guest, for tests of what copies it.
 *
 * @module
 */
import { close } from "../../../sys/files.ts";
import { bufferAt, map, Mapping, memfd } from "../../../sys/mapping.ts";
import { type MemorySpec, openRam, type RamOptions } from "../../../machine/ram.ts";
import { mappedBytes, ramAreas } from "../ram_image.ts";

export const PAGE = 4096;

export class MovedMemory implements Disposable {
  readonly spec: MemorySpec;
  /** As this process sees it. */
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(options: RamOptions) {
    this.spec = openRam({ hugePages: "none", ...options }, () => {});
    const address = this.spec.viewAddress ?? this.spec.address;
    this.bytes = new Uint8Array(bufferAt(address, mappedBytes(ramAreas(this.spec))));
  }

  /** Fills pages with bytes that tell them from others; 0 makes zeros. */
  write(page: number, count: number, value: number): void {
    const { bytes } = this;
    for (let at = page; at < page + count; at++) {
      bytes.fill(value === 0 ? 0 : 1 + (value + at) % 255, at * PAGE, (at + 1) * PAGE);
    }
  }

  /** Bytes of the host that it takes; of memory with a file only. */
  get taken(): number {
    return Deno.statSync(`/proc/self/fd/${this.spec.fd}`).blocks! * 512;
  }

  [Symbol.dispose](): void {
    const { address, viewAddress, fd } = this.spec;
    for (const at of new Set([address, viewAddress ?? address])) {
      new Mapping(at, this.bytes.length).unmap();
    }
    if (fd !== undefined) close(fd);
  }
}

/** A file in memory and what it holds. */
export class TestFile implements Disposable {
  readonly fd: number = memfd("test-file", 0);

  /** The first `length` bytes; what is not there reads as 0, and is there afterwards. */
  read(length: number): Uint8Array<ArrayBuffer> {
    const mapping = map(length, { fd: this.fd });
    const bytes = new Uint8Array(mapping.buffer).slice();
    mapping.unmap();
    return bytes;
  }

  get taken(): number {
    return Deno.statSync(`/proc/self/fd/${this.fd}`).blocks! * 512;
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }
}
