/**
 * Small files of /proc and /sys, which Deno's own file functions read only for a process that may do
 * everything.
 *
 * @module
 */
import { check, errno, SysError } from "./errno.ts";
import { close, O_RDONLY, O_WRONLY, open } from "./files.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
});

const CHUNK = 16 * 1024;

/** The text of a file whose length is not known before it is read. */
export function readPseudoFile(path: string): string {
  const fd = open(path, O_RDONLY);
  try {
    const decoder = new TextDecoder();
    const chunk = new Uint8Array(CHUNK);
    let text = "";
    while (true) {
      const count = Number(libc.symbols.read(fd, chunk, BigInt(CHUNK)));
      if (count < 0) throw new SysError(`read "${path}"`, errno());
      if (count === 0) return text + decoder.decode();
      text += decoder.decode(chunk.subarray(0, count), { stream: true });
    }
  } finally {
    close(fd);
  }
}

/** Writes `text` in one call, as control files want it. */
export function writePseudoFile(path: string, text: string): void {
  const fd = open(path, O_WRONLY);
  try {
    const bytes = new TextEncoder().encode(text);
    check(
      Number(libc.symbols.write(fd, bytes, BigInt(bytes.length))),
      `write ${JSON.stringify(text)} to "${path}"`,
    );
  } finally {
    close(fd);
  }
}
