/**
 * What somebody has to see to, in words.
 *
 * @module
 */
import type { Pool, Smart } from "../../hypervisor/supervisor/api/storage_schemas.ts";
import { confirmWord, type DiskFacts } from "./facts.ts";

/** The alarms, the most urgent first. */
export function alarmsOf(
  pool: Pick<Pool, "kind" | "members" | "sync">,
  disks: readonly DiskFacts[],
  smart: ReadonlyMap<string, Smart>,
): string[] {
  const alarms: string[] = [];
  const called = (name: string) => {
    const disk = disks.find((it) => it.name === name);
    return disk ? `${name} (${confirmWord(disk, disks)})` : name;
  };
  if (pool.kind === "mirror") {
    for (const { disk, state } of pool.members) {
      if (state === "failed") {
        alarms.push(
          `A disk of the mirror has failed${disk === null ? "" : `: ${called(disk)}`}. ` +
            "The data are on one disk alone: replace it",
        );
      } else if (state === "missing") {
        alarms.push("A disk of the mirror is missing. The data are on one disk alone: replace it");
      }
    }
  }
  for (const { name } of disks) {
    const warnings = smart.get(name)?.warnings ?? [];
    if (warnings.length > 0) alarms.push(`The disk ${called(name)} warns: ${warnings.join("; ")}`);
  }
  return alarms;
}
