import type { HostStorage, StorageDisk } from "../../hypervisor/supervisor/api/schemas.ts";
import {
  diskTitle,
  healthWords,
  partKind,
  partWords,
  whyNotAdd,
} from "../components/disk_words.ts";
import { formatBytes } from "../components/format.ts";
import { ActionButton } from "./action_button.tsx";
import { DiskBar } from "./disk_bar.tsx";

interface DiskCardProps {
  disk: StorageDisk;
  storage: HostStorage;
  /** Why nothing can be installed now, besides what is wrong with the disk itself. */
  busy: string | null;
  onAdd: () => void;
  onInstall: () => void;
}

const BUSES: Record<StorageDisk["bus"], string> = {
  ...{ nvme: "NVMe", sata: "SATA", sas: "SAS", usb: "USB", virtio: "virtio", mmc: "SD or MMC" },
  other: "another bus",
};

/** One disk: what it is, how it is, and what is on it. */
export function DiskCard({ disk, storage, busy, onAdd, onInstall }: DiskCardProps) {
  const health = healthWords(disk);
  const warnings = disk.smart?.warnings ?? [];
  return (
    <section class="disk" aria-label={diskTitle(disk)}>
      <div class="disk-head">
        <div>
          <h3>{diskTitle(disk)}</h3>
          <p class="disk-facts">
            <span>{formatBytes(disk.bytes)}</span>
            <span>{disk.rotational ? `${BUSES[disk.bus]}, turns` : BUSES[disk.bus]}</span>
            <span>
              Serial number <code>{disk.confirm}</code>
            </span>
            {health !== null && <span>{health}</span>}
          </p>
        </div>
        <div class="disk-marks">
          {disk.isBoot && <span class="disk-mark">Started from</span>}
          {disk.isData && <span class="disk-mark disk-mark-data">Data</span>}
        </div>
      </div>
      {warnings.map((it) => <p key={it} class="field-error">It warns: {it}</p>)}
      <DiskBar disk={disk} />
      {disk.partitions.length > 0 ? <Partitions disk={disk} /> : (
        <p class="disk-facts">
          {disk.isBlank
            ? "Nothing is on it"
            : disk.content ?? "Something is on it that is not known"}
        </p>
      )}
      <div class="row">
        <ActionButton icon="plus" reason={whyNotAdd(disk, storage)} onClick={onAdd}>
          Add to the pool <span class="unseen">: {disk.name}</span>
        </ActionButton>
        <ActionButton icon="disk" reason={disk.inUse ?? busy} onClick={onInstall}>
          Install on it <span class="unseen">: {disk.name}</span>
        </ActionButton>
      </div>
    </section>
  );
}

function Partitions({ disk }: { disk: StorageDisk }) {
  return (
    <table class="partitions">
      <caption class="unseen">Partitions of {disk.name}</caption>
      <thead class="unseen">
        <tr>
          <th scope="col">Number</th>
          <th scope="col">What is on it</th>
          <th scope="col">Size</th>
        </tr>
      </thead>
      <tbody>
        {disk.partitions.map((part) => (
          <tr key={part.number}>
            <th scope="row">
              <svg
                class={`disk-part disk-${partKind(part)}`}
                viewBox="0 0 10 10"
                aria-hidden="true"
              >
                <rect width="10" height="10" rx="2" />
              </svg>
              {part.number}
            </th>
            <td>
              {partWords(part)}
              {part.name !== "" && <code>{part.name}</code>}
              {part.use !== null && <span class="guest-sub">{part.use}</span>}
            </td>
            <td class="number">{formatBytes(part.bytes)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
