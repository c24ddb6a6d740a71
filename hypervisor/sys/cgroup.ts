/**
 * Control groups (version 2): a group per guest, by which all of its processes are found and ended.
 *
 * @module
 */
import { check, EEXIST, ENOENT, errno } from "./errno.ts";
import { libraryOf } from "./library.ts";
import { readPseudoFile, writePseudoFile } from "./pseudo_files.ts";

const libc = libraryOf({
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  rmdir: { parameters: ["buffer"], result: "i32" },
});

const ROOT = "/sys/fs/cgroup";

function pathOf(name: string): string {
  if (!/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/.test(name)) {
    throw new TypeError(
      `Cannot name a control group "${name}": it must be of A-Z, a-z, 0-9, '_' and '-'`,
    );
  }
  return `${ROOT}/${name}`;
}

const cString = (value: string) => new TextEncoder().encode(value + "\0");

/** Whether the machine has version 2 alone, mounted at its usual place. */
export function hasCgroups(): boolean {
  try {
    readPseudoFile(`${ROOT}/cgroup.controllers`);
    return true;
  } catch {
    return false;
  }
}

/** Makes the group `name` and those above it, if they are missing. */
export function createCgroup(name: string): void {
  const parts = name.split("/");
  for (let depth = 1; depth <= parts.length; depth++) {
    const path = pathOf(parts.slice(0, depth).join("/"));
    const result = libc.symbols.mkdir(cString(path), 0o755);
    if (result < 0 && errno() !== EEXIST) check(result, `create the control group "${path}"`);
  }
}

/** Moves a process, with all its threads, into the group. */
export function moveToCgroup(name: string, pid: number): void {
  writePseudoFile(`${pathOf(name)}/cgroup.procs`, String(pid));
}

/** Removes an empty group; false while processes are in it. A missing one counts as removed. */
export function removeCgroup(name: string): boolean {
  const result = libc.symbols.rmdir(cString(pathOf(name)));
  return result === 0 || errno() === ENOENT;
}
