import type { StorageDisk } from "../../hypervisor/supervisor/api/schemas.ts";
import { diskParts } from "../components/disk_words.ts";

/** A picture of a disk, by its partitions; a table says the same. */
export function DiskBar({ disk }: { disk: StorageDisk }) {
  let at = 0;
  const parts = diskParts(disk).map((part) => {
    const x = at;
    at += part.share;
    return { ...part, x };
  });
  return (
    <svg class="disk-bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
      {parts.map(({ key, kind, label, x, share }) => (
        <rect
          key={key}
          class={`disk-part disk-${kind}`}
          x={1000 * x}
          width={Math.max(1, 1000 * share - 3)}
          height="10"
        >
          <title>{label}</title>
        </rect>
      ))}
    </svg>
  );
}
