/**
 * Kernels that were taken out of their bzImages once, so that no guest has to at every boot.
 *
 * In the cache's folder lie `DIGEST.vmlinux`, an unpacked kernel by the SHA-256 of its bzImage, and
 * `NAME.seen`, which says the digest of the file that NAME identifies (its device, inode, length and
 * times), so that a file is digested once and not at every boot. Everything is written aside, synced
 * and renamed: what has its name is whole.
 *
 * @module
 */
import { sha256 } from "../../sys/digest.ts";
import { BootFile } from "./boot_file.ts";
import type { BzImage } from "./bzimage.ts";
import { ELF_HEADER_BYTES, isLoaded, parseElf } from "./elf.ts";
import { unpackPayload } from "./unpack.ts";

/** What a cache may hold; the kernels that were not used for longest make room. */
export const MAX_CACHE_BYTES = 2 ** 30;
/** A file that changed so recently could change again without its times telling, in milliseconds. */
const UNSETTLED_MS = 2000;
const STALE_MS = 30 * 24 * 3600 * 1000;
const DIGEST = /^[0-9a-f]{64}$/;

/** Opens the unpacked kernel of a bzImage, unpacking it if need be; throws if it cannot be had. */
export function unpackedKernel(
  kernel: BootFile,
  image: BzImage,
  options: { folder: string; maxBytes?: number },
): BootFile {
  const { folder, maxBytes = MAX_CACHE_BYTES } = options;
  Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const seen = `${folder}/${identity(kernel.path)}.seen`;
  const known = readSeen(seen);
  const opened = known && openCached(`${folder}/${known}.vmlinux`);
  if (opened) return opened;

  const bytes = kernel.read(0, kernel.length);
  const digest = sha256(bytes).toHex();
  const path = `${folder}/${digest}.vmlinux`;
  const other = openCached(path);
  if (other === null) {
    const { offset, length } = image.packed;
    if (length === 0) throw new SyntaxError("its header does not say where the kernel lies");
    const unpacked = unpackPayload(bytes.subarray(offset, offset + length), `${path}.${Deno.pid}`);
    const elf = parseElf(unpacked.subarray(0, ELF_HEADER_BYTES), unpacked.length);
    if (!isLoaded(elf, elf.entry)) throw new SyntaxError("its entry is not in it");
    makeRoom(folder, maxBytes - unpacked.length);
    writeWhole(path, unpacked);
  }
  const changed = Deno.statSync(kernel.path);
  const age = Date.now() - Math.max(+(changed.mtime ?? Infinity), +(changed.ctime ?? Infinity));
  if (age > UNSETTLED_MS) writeWhole(seen, new TextEncoder().encode(digest));
  return other ?? new BootFile(path, "unpacked kernel");
}

/** What a file is told apart by without reading it. */
function identity(path: string): string {
  const { dev, ino, size, mtime, ctime } = Deno.statSync(path);
  return [dev, ino ?? 0, size, Number(mtime), Number(ctime)].join("-");
}

function readSeen(path: string): string | null {
  try {
    const digest = Deno.readTextFileSync(path);
    return DIGEST.test(digest) ? digest : null;
  } catch {
    return null;
  }
}

function openCached(path: string): BootFile | null {
  try {
    const file = new BootFile(path, "unpacked kernel");
    // What was used last goes last; a folder that is read-only to us has somebody else to tidy it.
    try {
      Deno.utimeSync(path, new Date(), new Date());
    } catch { /* as above */ }
    return file;
  } catch {
    return null;
  }
}

function writeWhole(path: string, bytes: Uint8Array): void {
  const aside = `${path}.${Deno.pid}.new`;
  try {
    using file = Deno.openSync(aside, { write: true, createNew: true, mode: 0o600 });
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.syncSync();
    Deno.renameSync(aside, path);
  } catch (error) {
    try {
      Deno.removeSync(aside);
    } catch { /* It was not made. */ }
    throw error;
  }
}

/**
 * Removes the kernels that were not used for longest until the others have at most `bytes`, and
 * whatever else lies there for long: it is remade when it is wanted.
 */
function makeRoom(folder: string, bytes: number): void {
  const kernels: { path: string; size: number; used: number }[] = [];
  for (const { name, isFile } of Deno.readDirSync(folder)) {
    if (!isFile) continue;
    const path = `${folder}/${name}`;
    const { size, mtime } = Deno.statSync(path);
    const used = Number(mtime);
    if (name.endsWith(".vmlinux")) kernels.push({ path, size, used });
    else if (Date.now() - used > STALE_MS) Deno.removeSync(path);
  }
  kernels.sort((a, b) => a.used - b.used);
  let held = kernels.reduce((sum, { size }) => sum + size, 0);
  for (const { path, size } of kernels) {
    if (held <= bytes) return;
    Deno.removeSync(path);
    held -= size;
  }
}
