/**
 * A file that a guest is booted from.
 *
 * @module
 */

/** Read at one go, before the guest runs; its errors name it. */
export class BootFile implements Disposable {
  readonly path: string;
  readonly length: number;
  readonly #file: Deno.FsFile;
  readonly #refuse: (why: string, cause?: unknown) => TypeError;

  constructor(path: string, what: string) {
    this.path = path;
    this.#refuse = (why, cause) =>
      new TypeError(`Cannot read the ${what} "${path}": ${why}`, { cause });
    try {
      // Before it is opened, which would wait for the other end of a pipe.
      const { isFile, size } = Deno.statSync(path);
      if (!isFile) throw this.#refuse("it is not a file");
      this.length = size;
      this.#file = Deno.openSync(path, { read: true });
    } catch (error) {
      if (error instanceof TypeError) throw error;
      const missing = error instanceof Deno.errors.NotFound;
      throw this.#refuse(missing ? "there is no such file" : String(error), error);
    }
  }

  /** Fills `target` with the bytes from `position` on. */
  readInto(target: Uint8Array, position = 0): void {
    this.#file.seekSync(position, Deno.SeekMode.Start);
    for (let at = 0; at < target.length;) {
      const n = this.#file.readSync(target.subarray(at));
      if (n === null) throw this.#refuse("it became shorter while it was read");
      at += n;
    }
  }

  /** `length` bytes from `position` on, or as many as there are. */
  read(position: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.length - position)));
    this.readInto(bytes, position);
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}
