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
  chunks.push(...record(TRAILER, { mode: 0, bytes: new Uint8Array(), inode: 0 }));
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

function record(
  path: string,
  options: { mode: number; bytes: Uint8Array; inode: number },
): Uint8Array<ArrayBuffer>[] {
  const { mode, bytes, inode } = options;
  const name = new TextEncoder().encode(path + "\0");
  const links = (mode & S_IFDIR) !== 0 ? 2 : 1;
  // inode, mode, uid, gid, links, time, size, device 2x, special device 2x, name's length, checksum.
  const fields = [inode, mode, 0, 0, links, 0, bytes.length, 0, 0, 0, 0, name.length, 0];
  const header = "070701" + fields.map((it) => it.toString(16).padStart(8, "0")).join("");
  const head = new Uint8Array(align(header.length + name.length));
  head.set(new TextEncoder().encode(header));
  head.set(name, header.length);
  const body = new Uint8Array(align(bytes.length));
  body.set(bytes);
  return [head, body];
}

function align(length: number): number {
  return Math.ceil(length / 4) * 4;
}
