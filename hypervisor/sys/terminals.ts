/**
 * Terminals: how large they are.
 *
 * @module
 */
import { check } from "./errno.ts";
import { close, O_NONBLOCK, O_RDONLY, open } from "./files.ts";
import { ioctlBuffer } from "./ioctl.ts";

const O_NOCTTY = 0o400;
/** asm-generic/ioctls.h */
export const TIOCGWINSZ = 0x5413;

/** The size of the terminal at `path`, in characters; zeros where nobody ever said. */
export function terminalSize(path: string): { columns: number; rows: number } {
  const fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
  try {
    // struct winsize: rows, columns, and pixels of both.
    const size = new Uint16Array(4);
    const bytes = new Uint8Array(size.buffer);
    check(ioctlBuffer(fd, TIOCGWINSZ, bytes), `ask "${path}" for its size`);
    return { columns: size[1], rows: size[0] };
  } finally {
    close(fd);
  }
}
