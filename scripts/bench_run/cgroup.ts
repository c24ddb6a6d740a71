/**
 * A control group of its own, for what the kernel charges to one process or to many.
 *
 * @module
 */

const ROOT = "/sys/fs/cgroup";

/** What the kernel charged to a group, in bytes, by the names of `memory.stat`. */
export function parseMemoryStat(text: string): Record<string, number> {
  const stat: Record<string, number> = {};
  for (const [, name, value] of text.matchAll(/^(\w+) (\d+)$/gm)) stat[name] = Number(value);
  return stat;
}

/** A fresh group. It goes away when it is disposed of, after all that ran in it has ended. */
export class Cgroup implements AsyncDisposable {
  /** Its folder, in whose `cgroup.procs` a process writes itself. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(name: string): Promise<Cgroup> {
    const controllers = await Deno.readTextFile(`${ROOT}/cgroup.subtree_control`).catch(() => "");
    if (!controllers.includes("memory")) {
      throw new Error(
        `Cannot make a control group in "${ROOT}": it is not version 2 with memory enabled`,
      );
    }
    const path = `${ROOT}/${name}`;
    await Deno.mkdir(path);
    return new Cgroup(path);
  }

  async memoryStat(): Promise<Record<string, number>> {
    return parseMemoryStat(await Deno.readTextFile(`${this.path}/memory.stat`));
  }

  /** CPU seconds that everything in it has used so far, guests included. */
  async cpuSeconds(): Promise<number> {
    const text = await Deno.readTextFile(`${this.path}/cpu.stat`);
    return Number(/^usage_usec (\d+)$/m.exec(text)![1]) / 1e6;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let attempt = 1;; attempt++) {
      try {
        return await Deno.remove(this.path);
      } catch (error) {
        if (attempt === 50) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}
