/**
 * The archives that Linux unpacks into its first root: cpio's "newc" format. The same tree always
 * gives the same bytes.
 *
 * @module
 */

/** What is at a path of a tree, relative to its root and without a leading slash. */
export type TreeEntry =
  | { kind: "folder"; mode?: number }
  | { kind: "file"; mode?: number; bytes: Uint8Array }
  | { kind: "link"; target: string };

/** A root to be packed: entries by path. Folders above an entry need not be listed. */
export type Tree = Map<string, TreeEntry>;

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const TRAILER = "TRAILER!!!";

/** Packs the tree, everything owned by root and without times. */
export function packCpio(tree: Tree): Uint8Array<ArrayBuffer>[] {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let inode = 1;
  for (const [path, entry] of withFolders(tree)) {
    const [mode, bytes] = modeAndBytes(entry);
    chunks.push(...record(path, { mode, bytes, inode: inode++ }));
  }
  chunks.push(archiveEnd());
  return chunks;
}

/** The tree in the order to unpack it: each folder before what is in it. */
export function withFolders(tree: Tree): Tree {
  const all: Tree = new Map();
  for (const path of [...tree.keys()].sort()) {
    if (path === "" || path.startsWith("/") || path.split("/").includes("..")) {
      throw new RangeError(`Cannot pack "${path}": it must be a path below the root`);
    }
    const parts = path.split("/");
    for (let depth = 1; depth < parts.length; depth++) {
      const folder = parts.slice(0, depth).join("/");
      if (!all.has(folder)) all.set(folder, tree.get(folder) ?? { kind: "folder" });
    }
    if (!all.has(path)) all.set(path, tree.get(path)!);
  }
  return all;
}

function modeAndBytes(entry: TreeEntry): [number, Uint8Array] {
  switch (entry.kind) {
    case "folder":
      return [S_IFDIR | (entry.mode ?? 0o755), new Uint8Array()];
    case "file":
      return [S_IFREG | (entry.mode ?? 0o644), entry.bytes];
    case "link":
      return [S_IFLNK | 0o777, new TextEncoder().encode(entry.target)];
  }
}

/** A file's record, for archives that are put together piece by piece; inodes count from 1. */
export function fileRecord(path: string, bytes: Uint8Array, inode: number) {
  return record(path, { mode: S_IFREG | 0o644, bytes, inode });
}

/** What goes before the bytes of a file of `length`; behind them lie zeros up to the next four. */
export function fileHead(path: string, length: number, inode: number) {
  return recordHead(path, { mode: S_IFREG | 0o644, length, inode });
}

/** What ends an archive. */
export function archiveEnd(): Uint8Array<ArrayBuffer> {
  return recordHead(TRAILER, { mode: 0, length: 0, inode: 0 });
}

function record(
  path: string,
  options: { mode: number; bytes: Uint8Array; inode: number },
): Uint8Array<ArrayBuffer>[] {
  const { mode, bytes, inode } = options;
  const body = new Uint8Array(align(bytes.length));
  body.set(bytes);
  return [recordHead(path, { mode, length: bytes.length, inode }), body];
}

function recordHead(
  path: string,
  options: { mode: number; length: number; inode: number },
): Uint8Array<ArrayBuffer> {
  const { mode, length, inode } = options;
  const name = new TextEncoder().encode(path + "\0");
  const links = (mode & S_IFDIR) !== 0 ? 2 : 1;
  // inode, mode, uid, gid, links, time, size, device 2x, special device 2x, name's length, checksum.
  const fields = [inode, mode, 0, 0, links, 0, length, 0, 0, 0, 0, name.length, 0];
  const header = "070701" + fields.map((it) => it.toString(16).padStart(8, "0")).join("");
  const head = new Uint8Array(align(header.length + name.length));
  head.set(new TextEncoder().encode(header));
  head.set(name, header.length);
  return head;
}

/** Where the next record begins. */
export function align(length: number): number {
  return Math.ceil(length / 4) * 4;
}

/** Parts of an archive as one. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, it) => sum + it.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
