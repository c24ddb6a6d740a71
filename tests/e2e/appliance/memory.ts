/**
 * Where a running appliance's memory is, part by part.
 *
 * @module
 */
import type { Appliance, ProcessFacts } from "./host.ts";

/** All in MiB. */
export interface HostMemory {
  /** What the kernel has left of the PC's. */
  totalMiB: number;
  /** What guests could have: what is free or could be, with the test's own agent out of the way. */
  forGuestsMiB: number;
  parts: [name: string, mib: number][];
}

/** How long a host takes until it has done what comes after its start. */
const SETTLE_MS = 5000;

/** Reads it once the host has come to rest. */
export async function readMemory(host: Appliance): Promise<HostMemory> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS * host.patience));
  const info = fields(await host.ask<string>("read", "/proc/meminfo"));
  const own: [string, number][] = [];
  let agent = 0;
  for (const it of await host.ask<ProcessFacts[]>("processes")) {
    const name = /\/app\/(\w+)\.js/.exec(it.command)?.[1] ?? it.command.split(" ")[0];
    if (name === "") continue; // A thread of the kernel's.
    const rollup = await host.ask<string>("read", `/proc/${it.pid}/smaps_rollup`).catch(() => "");
    const { Private_Clean: clean = 0, Private_Dirty: dirty = 0 } = fields(rollup);
    if (name === "agent") agent = clean + dirty;
    else own.push([`process ${it.pid}: ${name}`, clean + dirty]);
  }
  return {
    totalMiB: info.MemTotal,
    forGuestsMiB: info.MemAvailable + agent,
    parts: [
      ["files in memory: the root above all", info.Shmem],
      ["files that can go", info.Cached + info.Buffers - info.Shmem],
      ["slab", info.Slab],
      ["kernel's modules and stacks", info.VmallocUsed],
      ["page tables, per CPU", info.PageTables + info.Percpu],
      ["free", info.MemFree],
      ["kept free", await keptFree(host)],
      ...own.filter(([, mib]) => mib >= 1),
    ],
  };
}

/** What Linux does not give to processes. */
async function keptFree(host: Appliance): Promise<number> {
  const pages = await host.ask<string>("read", "/proc/zoneinfo");
  const high = Array.from(pages.matchAll(/^\s+high\s+(\d+)$/gm), ([, it]) => Number(it));
  return high.reduce((sum, it) => sum + it, 0) * 4096 / 2 ** 20;
}

/** A line for each part. */
export function memoryTable(memory: HostMemory): string {
  const rows: [string, number][] = [
    ["the kernel's total", memory.totalMiB],
    ["for guests", memory.forGuestsMiB],
    ...memory.parts,
  ];
  return rows.map(([name, mib]) => `  ${name.padEnd(40)}${mib.toFixed(0).padStart(6)} MiB`)
    .join("\n");
}

/** Lines such as "MemTotal:  1000 kB", in MiB. */
function fields(text: string): Record<string, number> {
  const lines = text.matchAll(/^([\w()]+):\s+(\d+) kB$/gm);
  return Object.fromEntries(Array.from(lines, ([, name, kib]) => [name, Number(kib) / 1024]));
}
