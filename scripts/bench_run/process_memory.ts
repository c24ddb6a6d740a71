/**
 * What a process takes from the machine's memory, its guest's RAM not counted.
 *
 * @module
 */

/** In MiB. */
export interface ProcessMemory {
  /** What it alone has. Clean pages of files are left out: every further process shares them. */
  private: number;
  /** The same with its part of all that it shares, those pages included. */
  proportional: number;
}

/** Reads `/proc/PID/smaps`. The guest's RAM is told by its size, which nothing else has. */
export function parseProcessMemory(smaps: string, guestMiB: number): ProcessMemory {
  let ram = false;
  let own = 0;
  let proportional = 0;
  for (const line of smaps.split("\n")) {
    const header = /^([0-9a-f]+)-([0-9a-f]+) [rwxsp-]{4} /.exec(line);
    if (header) ram = parseInt(header[2], 16) - parseInt(header[1], 16) === guestMiB * 2 ** 20;
    const field = /^(Private_Dirty|Private_Hugetlb|Pss): +(\d+) kB$/.exec(line);
    if (!field || ram) continue;
    if (field[1] === "Pss") proportional += Number(field[2]);
    else own += Number(field[2]);
  }
  return { private: own / 1024, proportional: proportional / 1024 };
}

/** The memory of a process and of all its children. */
export async function processMemory(pid: number, guestMiB: number): Promise<ProcessMemory> {
  const sum = parseProcessMemory(await Deno.readTextFile(`/proc/${pid}/smaps`), guestMiB);
  const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
  for (const child of children.trim().split(" ").filter(Boolean)) {
    const more = await processMemory(Number(child), guestMiB);
    sum.private += more.private;
    sum.proportional += more.proportional;
  }
  return sum;
}
