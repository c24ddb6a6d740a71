/**
 * What a process takes from the machine's memory for itself.
 *
 * @module
 */

/** In MiB. */
export interface PrivateMemory {
  /** With the guest's RAM as far as the guest has touched it. */
  total: number;
  /** Without the guest's RAM: what the monitor itself costs. */
  monitor: number;
}

/**
 * Reads `/proc/PID/smaps`. The guest's RAM is told by its size. Clean pages of files are left out:
 * every further monitor shares them.
 */
export function parsePrivateMemory(smaps: string, guestMiB: number): PrivateMemory {
  let total = 0;
  let guest = 0;
  let size = 0;
  for (const line of smaps.split("\n")) {
    const header = /^([0-9a-f]+)-([0-9a-f]+) [rwxsp-]{4} /.exec(line);
    if (header) size = parseInt(header[2], 16) - parseInt(header[1], 16);
    const field = /^Private_(?:Dirty|Hugetlb): +(\d+) kB$/.exec(line);
    if (!field) continue;
    total += Number(field[1]);
    if (size === guestMiB * 2 ** 20) guest += Number(field[1]);
  }
  return { total: total / 1024, monitor: (total - guest) / 1024 };
}

/** The private memory of a process and of all its children. */
export async function privateMemory(pid: number, guestMiB: number): Promise<PrivateMemory> {
  const sum = parsePrivateMemory(await Deno.readTextFile(`/proc/${pid}/smaps`), guestMiB);
  const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
  for (const child of children.trim().split(" ").filter(Boolean)) {
    const more = await privateMemory(Number(child), guestMiB);
    sum.total += more.total;
    sum.monitor += more.monitor;
  }
  return sum;
}
