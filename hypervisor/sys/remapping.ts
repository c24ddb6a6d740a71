/**
 * What lies behind addresses of this process, changed while the addresses stay: mremap and mmap.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";
import { Mapping, reserveAddresses } from "./mapping.ts";

const libc = libraryOf({
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  mremap: { parameters: ["usize", "usize", "usize", "i32", "usize"], result: "usize" },
});

const PROT_READ_WRITE = 3;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_NORESERVE = 0x4000;
const MREMAP_MAYMOVE = 1;
const MREMAP_FIXED = 2;
const MREMAP_DONTUNMAP = 4;
const FAILED = 0xffff_ffff_ffff_ffffn;
/** Page tables of whole GiBs change places as they are, if they lie in both at the same within a GiB. */
const GiB = 2 ** 30;

/**
 * Moves what this process knows of a shared mapping's pages to another address. The mapping stays and
 * finds its pages in its file again, but until it does, whatever replaces it has nothing to take down:
 * that would take a moment for every page. Returns where it went, for the caller to unmap when there is
 * time; undefined where the kernel cannot (before Linux 5.13), and then nothing has changed.
 */
export function setPagesAside(address: number, length: number): Mapping | undefined {
  const within = address % GiB;
  const place = reserveAddresses(within + length, GiB);
  if (within > 0) new Mapping(place.address, within).unmap();
  const aside = new Mapping(place.address + within, length);
  const flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
  const [from, size, to] = [BigInt(address), BigInt(length), BigInt(aside.address)];
  if (libc.symbols.mremap(from, size, size, flags, to) !== FAILED) return aside;
  aside.unmap();
}

/** Puts a private copy of a file's beginning in the place of what is mapped there, in one step. */
export function mapCopyOver(address: number, length: number, fd: number): void {
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
  const [at, size] = [BigInt(address), BigInt(length)];
  const mapped = libc.symbols.mmap(at, size, PROT_READ_WRITE, flags, fd, 0n);
  if (mapped === FAILED) check(-1, `map a copy of ${length} bytes`);
}
