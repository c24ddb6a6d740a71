/**
 * Loading kernel modules.
 *
 * @module
 */
import { check, EEXIST, errno } from "./errno.ts";
import { close, O_RDONLY, open } from "./files.ts";
import { libraryOf } from "./library.ts";

// glibc has no wrapper for finit_module(2).
const libc = libraryOf({
  syscall: { parameters: ["i64", "i32", "buffer", "i32"], result: "i64" },
  onPool: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "i32"],
    result: "i64",
    nonblocking: true,
  },
});

const SYS_FINIT_MODULE = 313n;
const MODULE_INIT_COMPRESSED_FILE = 4;

/**
 * Loads the module in the file `path` (.ko, or .ko.xz, which the kernel unpacks itself). One that is
 * loaded already is fine. What it depends on must have been loaded before; others may be loaded at
 * the same time.
 */
export async function loadModule(path: string, parameters = ""): Promise<void> {
  const fd = open(path, O_RDONLY);
  try {
    const flags = path.endsWith(".ko") ? 0 : MODULE_INIT_COMPRESSED_FILE;
    const text = new TextEncoder().encode(parameters + "\0");
    if (await libc.symbols.onPool(SYS_FINIT_MODULE, fd, text, flags) === 0n) return;
    // errno stayed on the pool's thread: what failed there fails here again, and tells why.
    const result = Number(libc.symbols.syscall(SYS_FINIT_MODULE, fd, text, flags));
    if (result < 0 && errno() === EEXIST) return;
    check(result, `load the kernel module "${path}"`);
  } finally {
    close(fd);
  }
}
