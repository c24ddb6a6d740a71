/**
 * A power cut, for tests: from a certain change on, no file can be written, made, renamed or removed.
 *
 * @module
 */

const CHANGES = ["writeSync", "write"] as const;
const NOW = ["renameSync", "removeSync", "mkdirSync", "copyFileSync"] as const;
const LATER = ["writeTextFile", "mkdir"] as const;

export class PowerCut implements Disposable {
  /** Whether it has come to it. */
  hasCut = false;
  /** Changes that were made so far. */
  made = 0;
  readonly #at: number;
  readonly #real = Object.fromEntries(
    (["open", "openSync", ...NOW, ...LATER] as const).map((name) => [name, Deno[name]]),
  ) as Pick<typeof Deno, "open" | "openSync" | typeof NOW[number] | typeof LATER[number]>;

  /** Cuts before the change of this number, counted from zero. */
  constructor(at: number) {
    this.#at = at;
    const real = this.#real;
    Deno.openSync = (...args) => this.#wrap(real.openSync(...this.#opening(args)));
    Deno.open = async (...args) => this.#wrap(await real.open(...this.#opening(args)));
    for (const name of NOW) {
      Object.assign(Deno, {
        [name]: (...args: unknown[]) => {
          this.#change();
          return (real[name] as (...args: unknown[]) => unknown)(...args);
        },
      });
    }
    for (const name of LATER) {
      Object.assign(Deno, {
        [name]: async (...args: unknown[]) => {
          this.#change();
          return await (real[name] as (...args: unknown[]) => unknown)(...args);
        },
      });
    }
  }

  #opening<T extends [string | URL, Deno.OpenOptions?]>(args: T): T {
    if (args[1]?.create || args[1]?.createNew || args[1]?.truncate) this.#change();
    return args;
  }

  #wrap(file: Deno.FsFile): Deno.FsFile {
    for (const name of CHANGES) {
      const write = file[name].bind(file) as (bytes: Uint8Array) => unknown;
      Object.assign(file, {
        [name]: (bytes: Uint8Array) => {
          this.#change();
          return write(bytes);
        },
      });
    }
    return file;
  }

  #change(): void {
    if (this.made >= this.#at) {
      this.hasCut = true;
      throw new Error("the power has gone");
    }
    this.made++;
  }

  [Symbol.dispose](): void {
    Object.assign(Deno, this.#real);
  }
}
