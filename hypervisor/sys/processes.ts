/**
 * Processes that outlive the one that starts them: each leads a session of its own, with its
 * standard streams in files, and is told from a later process of the same number by its start time.
 *
 * @module
 */
import { check, errno, SysError } from "./errno.ts";
import { libraryOf } from "./library.ts";
import { readPseudoFile } from "./pseudo_files.ts";

const libc = libraryOf({
  posix_spawn: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_setflags: { parameters: ["buffer", "i16"], result: "i32" },
  posix_spawnattr_setsigmask: { parameters: ["buffer", "buffer"], result: "i32" },
  posix_spawnattr_setsigdefault: { parameters: ["buffer", "buffer"], result: "i32" },
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_addopen: {
    parameters: ["buffer", "i32", "buffer", "i32", "u32"],
    result: "i32",
  },
  posix_spawn_file_actions_addclosefrom_np: { parameters: ["buffer", "i32"], result: "i32" },
  posix_spawn_file_actions_adddup2: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  kill: { parameters: ["i32", "i32"], result: "i32" },
});

// glibc's posix_spawnattr_t has 336 bytes and posix_spawn_file_actions_t 80; both with room to grow.
const OPAQUE_BYTES = 1024;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_APPEND = 0o2000;
const WNOHANG = 1;
const SIGSET_BYTES = 128;

/** A process, safe from the reuse of its number. */
export interface ProcessId {
  pid: number;
  /** Clock ticks between the machine's boot and the process's start. */
  startTime: number;
}

/** How a child ended. */
export type ChildEnd = { code: number } | { signal: number };

const text = new TextEncoder();

function cString(value: string): Uint8Array<ArrayBuffer> {
  if (value.includes("\0")) {
    throw new TypeError(`Cannot pass ${JSON.stringify(value)} to a process: it contains a NUL`);
  }
  return text.encode(value + "\0");
}

/** A NULL-terminated array of C strings, with the strings that it points to. */
function cStrings(values: string[]) {
  const strings = values.map(cString);
  const array = new BigUint64Array(values.length + 1);
  strings.forEach((bytes, i) => {
    array[i] = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
  });
  return { array, strings };
}

/** posix_spawn and its like return the error's number instead of setting errno. */
function checkCode(code: number, action: string) {
  if (code !== 0) throw new SysError(action, code);
}

/** Starts `program` in a session of its own; its output is appended to the file `log`. */
export function spawnDetached(
  program: string,
  args: string[],
  options: { env: Record<string, string>; log: string },
): ProcessId {
  const attributes = new Uint8Array(OPAQUE_BYTES);
  const actions = new Uint8Array(OPAQUE_BYTES);
  const argv = cStrings([program, ...args]);
  const envp = cStrings(Object.entries(options.env).map(([name, value]) => `${name}=${value}`));
  const path = cString(program);
  const pid = new Int32Array(1);
  checkCode(libc.symbols.posix_spawnattr_init(attributes), "prepare a process");
  checkCode(libc.symbols.posix_spawn_file_actions_init(actions), "prepare a process");
  try {
    libc.symbols.posix_spawnattr_setflags(
      attributes,
      POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF,
    );
    // Nothing blocked, nothing ignored: this process's own choices are not inherited.
    libc.symbols.posix_spawnattr_setsigmask(attributes, new Uint8Array(SIGSET_BYTES));
    libc.symbols.posix_spawnattr_setsigdefault(attributes, new Uint8Array(SIGSET_BYTES).fill(0xff));
    libc.symbols.posix_spawn_file_actions_addopen(actions, 0, cString("/dev/null"), 0, 0);
    libc.symbols.posix_spawn_file_actions_addopen(
      actions,
      1,
      cString(options.log),
      O_WRONLY | O_CREAT | O_APPEND,
      0o600,
    );
    libc.symbols.posix_spawn_file_actions_adddup2(actions, 1, 2);
    // This process may have been given descriptors that are not closed by themselves.
    libc.symbols.posix_spawn_file_actions_addclosefrom_np(actions, 3);
    checkCode(
      libc.symbols.posix_spawn(
        new Uint8Array(pid.buffer),
        path,
        actions,
        attributes,
        new Uint8Array(argv.array.buffer),
        new Uint8Array(envp.array.buffer),
      ),
      `start "${program}"`,
    );
  } finally {
    libc.symbols.posix_spawn_file_actions_destroy(actions);
    libc.symbols.posix_spawnattr_destroy(attributes);
  }
  // The strings must outlive the call that reads them through plain addresses.
  if (argv.strings.length + envp.strings.length < 0) throw new Error("unreachable");
  // A child stays in /proc until it is waited for, so its start time can be read even if it ended.
  return { pid: pid[0], startTime: startTime(pid[0]) ?? 0 };
}

/** How the child `pid` ended; null while it runs, undefined if it is no child of this process. */
export function reapChild(pid: number): ChildEnd | null | undefined {
  const status = new Int32Array(1);
  const result = libc.symbols.waitpid(pid, new Uint8Array(status.buffer), WNOHANG);
  if (result < 0) return undefined;
  if (result === 0) return null;
  const signal = status[0] & 0x7f;
  return signal === 0 ? { code: (status[0] >> 8) & 0xff } : { signal };
}

/** The start time of a process; null where there is none, or only one that has ended already. */
function startTime(pid: number): number | null {
  let stat: string;
  try {
    stat = readPseudoFile(`/proc/${pid}/stat`);
  } catch {
    return null;
  }
  return parseStat(stat)?.startTime ?? null;
}

/** State and start time out of /proc/PID/stat; the command's name in it may contain anything. */
export function parseStat(stat: string): { state: string; startTime: number } | null {
  const fields = stat.slice(stat.lastIndexOf(")") + 1).trim().split(" ");
  const ticks = Number(fields[19]);
  if (fields.length < 20 || !Number.isSafeInteger(ticks)) return null;
  return { state: fields[0], startTime: ticks };
}

/** Whether the process still runs; a zombie does not. */
export function isAlive(id: ProcessId): boolean {
  let stat: string;
  try {
    stat = readPseudoFile(`/proc/${id.pid}/stat`);
  } catch {
    return false;
  }
  const now = parseStat(stat);
  return now !== null && now.startTime === id.startTime && now.state !== "Z" && now.state !== "X";
}

/** The identity of a process that runs; null where none does. */
export function identify(pid: number): ProcessId | null {
  const time = startTime(pid);
  return time === null ? null : { pid, startTime: time };
}

/** Sends SIGKILL to the process, unless it has ended. */
export function killProcess(id: ProcessId): void {
  if (!isAlive(id)) return;
  const ESRCH = 3;
  if (libc.symbols.kill(id.pid, 9) < 0 && errno() !== ESRCH) check(-1, `kill process ${id.pid}`);
}
