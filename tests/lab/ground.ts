/**
 * What a supervisor with real guests stands on.
 *
 * @module
 */
import { statfsSync } from "node:fs";
import { run } from "../../scripts/setup/command.ts";

export const BRIDGE = "labbr7";

/** An XFS of its own in memory, and a bridge. */
export class Ground implements AsyncDisposable {
  readonly path = Deno.makeTempDirSync();
  readonly #image = Deno.makeTempFileSync();

  static async lay(): Promise<Ground> {
    const ground = new Ground();
    Deno.truncateSync(ground.#image, 4 * 1024 ** 3);
    await run(["mkfs.xfs", "-q", ground.#image]);
    await run(["mount", "-o", "loop", ground.#image, ground.path]);
    await run(["ip", "link", "add", BRIDGE, "type", "bridge"]);
    await run(["ip", "link", "set", BRIDGE, "up"]);
    return ground;
  }

  /** Bytes in use. */
  used(): number {
    const { blocks, bfree, bsize } = statfsSync(this.path);
    return (blocks - bfree) * bsize;
  }

  async [Symbol.asyncDispose]() {
    await run(["ip", "link", "del", BRIDGE]);
    // Lazily: the kernel ends a process's io_uring, and closes its files, after the process.
    await run(["umount", "--lazy", this.path]);
    Deno.removeSync(this.#image);
  }
}
