/**
 * Memory that the process maps: memfd, mmap, madvise.
 *
 * @module
 */
import { check } from "./errno.ts";

const libc = Deno.dlopen("libc.so.6", {
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
});

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MAP_POPULATE = 0x8000;
const MFD_CLOEXEC = 1;
const MADV_DONTDUMP = 16;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

export interface MapOptions {
  /** The file to map; anonymous without. */
  fd?: number;
  /** Bytes from the file's start, a multiple of the page size. */
  offset?: number;
  /** Changes are private to this process (copy on write). */
  private?: boolean;
  /** Fault everything in now. */
  populate?: boolean;
}

/** A range of this process's address space; host addresses fit a number (47 bits). */
export class Mapping {
  readonly address: number;
  readonly length: number;
  #buffer: ArrayBuffer | undefined;

  constructor(address: number, length: number) {
    this.address = address;
    this.length = length;
  }

  /** The mapped bytes. The buffer must not be used after {@linkcode unmap}. */
  get buffer(): ArrayBuffer {
    return this.#buffer ??= bufferAt(this.address, this.length);
  }

  /** Leaves this mapping out of core dumps. */
  dontDump(): void {
    check(
      libc.symbols.madvise(BigInt(this.address), BigInt(this.length), MADV_DONTDUMP),
      "advise a mapping",
    );
  }

  unmap(): void {
    check(libc.symbols.munmap(BigInt(this.address), BigInt(this.length)), "unmap memory");
  }
}

/** Bytes at an address that another thread of this process mapped. */
export function bufferAt(address: number, length: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (pointer === null) throw new RangeError("Cannot view memory at address 0");
  return Deno.UnsafePointerView.getArrayBuffer(pointer, length);
}

/** The address of a buffer's bytes; the caller keeps the buffer alive while it is in use. */
export function addressOf(bytes: BufferSource): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}

/** Maps memory, readable and writable. */
export function map(length: number, options: MapOptions = {}): Mapping {
  const { fd = -1, offset = 0, populate = false } = options;
  let flags = options.private ? MAP_PRIVATE : MAP_SHARED;
  flags |= MAP_NORESERVE | (populate ? MAP_POPULATE : 0);
  if (fd < 0) flags |= MAP_ANONYMOUS;
  const address = libc.symbols.mmap(
    0n,
    BigInt(length),
    PROT_READ | PROT_WRITE,
    flags,
    fd,
    BigInt(offset),
  );
  if (address === MAP_FAILED) check(-1, `map ${length} bytes of memory`);
  return new Mapping(Number(address), length);
}

/** An unnamed file in memory of `length` bytes; its pages exist once touched. */
export function memfd(name: string, length: number): number {
  const fd = check(
    libc.symbols.memfd_create(new TextEncoder().encode(name + "\0"), MFD_CLOEXEC),
    `create the memory file "${name}"`,
  );
  check(
    libc.symbols.ftruncate(fd, BigInt(length)),
    `size the memory file "${name}" to ${length} bytes`,
  );
  return fd;
}
