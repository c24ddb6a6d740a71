/**
 * Loading kernel modules.
 *
 * @module
 */
import { check, EEXIST, errno } from "./errno.ts";
import { close, O_RDONLY, open } from "./files.ts";

const libc = Deno.dlopen("libc.so.6", {
  // glibc has no wrapper for finit_module(2).
  syscall: { parameters: ["i64", "i32", "buffer", "i32"], result: "i64" },
});

const SYS_FINIT_MODULE = 313n;
const MODULE_INIT_COMPRESSED_FILE = 4;

/**
 * Loads the module in the file `path` (.ko, or .ko.xz, which the kernel unpacks itself). One that is
 * loaded already is fine. What it depends on must have been loaded before.
 */
export function loadModule(path: string, parameters = ""): void {
  const fd = open(path, O_RDONLY);
  try {
    const flags = path.endsWith(".ko") ? 0 : MODULE_INIT_COMPRESSED_FILE;
    const result = Number(
      libc.symbols.syscall(
        SYS_FINIT_MODULE,
        fd,
        new TextEncoder().encode(parameters + "\0"),
        flags,
      ),
    );
    if (result < 0 && errno() === EEXIST) return;
    check(result, `load the kernel module "${path}"`);
  } finally {
    close(fd);
  }
}
