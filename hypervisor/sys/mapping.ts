/**
 * Memory that the process maps: memfd, mmap, madvise.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
});

const PROT_NONE = 0;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MAP_POPULATE = 0x8000;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_HUGETLB = 4;
const MADV_DONTDUMP = 16;
const PAGE = 4096;
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
  /** Sets memory aside for all of it now, so that none is missing later: for files of huge pages. */
  reserve?: boolean;
  /** What the address is to be a multiple of: a power of two from the page size on. */
  align?: number;
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
  const { fd = -1, offset = 0, populate = false, align = 0 } = options;
  let flags = options.private ? MAP_PRIVATE : MAP_SHARED;
  flags |= (options.reserve ? 0 : MAP_NORESERVE) | (populate ? MAP_POPULATE : 0);
  if (fd < 0) flags |= MAP_ANONYMOUS;
  const protection = PROT_READ | PROT_WRITE;
  const action = `map ${length} bytes of memory`;
  if (align === 0) {
    return new Mapping(mmap(0, length, { protection, flags, fd, offset, action }), length);
  }
  const place = reserveAddresses(length, align);
  const { address } = place;
  try {
    mmap(address, length, { protection, flags: flags | MAP_FIXED, fd, offset, action });
  } catch (error) {
    place.unmap();
    throw error;
  }
  return place;
}

/** Addresses at a multiple of `align` that nothing else gets; an access to them is a fault. */
export function reserveAddresses(length: number, align: number): Mapping {
  // A range that surely has an aligned address in it, of which the rest is given back.
  const reserved = mmap(0, length + align, {
    protection: PROT_NONE,
    flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
    fd: -1,
    offset: 0,
    action: `reserve ${length} bytes of addresses`,
  });
  const address = Math.ceil(reserved / align) * align;
  const end = address + Math.ceil(length / PAGE) * PAGE;
  if (address > reserved) new Mapping(reserved, address - reserved).unmap();
  if (reserved + length + align > end) {
    new Mapping(end, reserved + length + align - end).unmap();
  }
  return new Mapping(address, length);
}

/** Takes what is mapped there away and has zeros in its place, private to this process; false if it cannot. */
export function replaceWithZeros(address: number, length: number): boolean {
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE;
  const [at, size] = [BigInt(address), BigInt(length)];
  return libc.symbols.mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0n) !== MAP_FAILED;
}

interface Mmap {
  protection: number;
  flags: number;
  fd: number;
  offset: number;
  action: string;
}

function mmap(address: number, length: number, how: Mmap): number {
  const { protection, flags, fd, offset, action } = how;
  const [at, size, from] = [BigInt(address), BigInt(length), BigInt(offset)];
  const mapped = libc.symbols.mmap(at, size, protection, flags, fd, from);
  if (mapped === MAP_FAILED) check(-1, action);
  return Number(mapped);
}

/**
 * An unnamed file in memory of `length` bytes; its pages exist once touched. With `hugePageBytes`, its
 * pages have that size and come from the host's pool, which is taken from when it is mapped.
 */
export function memfd(
  name: string,
  length: number,
  options: { hugePageBytes?: number } = {},
): number {
  const { hugePageBytes } = options;
  // memfd_create(2): the page size's logarithm in the flags' six upper bits.
  const huge = hugePageBytes === undefined ? 0 : MFD_HUGETLB | Math.log2(hugePageBytes) << 26;
  const flags = (MFD_CLOEXEC | MFD_ALLOW_SEALING | huge) >>> 0;
  const fd = check(
    libc.symbols.memfd_create(new TextEncoder().encode(name + "\0"), flags),
    `create the memory file "${name}"`,
  );
  check(
    libc.symbols.ftruncate(fd, BigInt(length)),
    `size the memory file "${name}" to ${length} bytes`,
  );
  return fd;
}
