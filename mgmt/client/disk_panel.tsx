import { useState } from "preact/hooks";
import { MOST_DISKS } from "../../hypervisor/supervisor/api/limits.ts";
import type { Disk, Figures, Guest, Host } from "../../hypervisor/supervisor/api/schemas.ts";

import { formatMiB } from "../components/format.ts";
import { ActionButton } from "./action_button.tsx";
import { DeviceChart } from "./device_chart.tsx";
import { DeviceCard } from "./device_card.tsx";
import { Dialog } from "./dialog.tsx";
import { DiskForm } from "./disk_form.tsx";
import { limitWords } from "./limit_fields.tsx";

interface DiskPanelProps {
  guest: Guest;
  host: Host;
  figures: Figures[];
  /** How many looks a chart has room for. */
  length: number;
}

/** A guest's disks. */
export function DiskPanel({ guest, host, figures, length }: DiskPanelProps) {
  const [edits, setEdits] = useState<Disk | "new" | null>(null);
  const done = () => setEdits(null);
  return (
    <section class="panel" aria-label="Disks">
      <div class="panel-head">
        <h3>Disks</h3>
        <ActionButton
          icon="plus"
          kind="quiet"
          reason={guest.disks.length < MOST_DISKS
            ? null
            : `A guest has at most ${MOST_DISKS} disks`}
          onClick={() => setEdits("new")}
        >
          Add a disk
        </ActionButton>
      </div>
      {guest.disks.length === 0 && <p class="nothing">It has none: nothing of it is kept</p>}
      <ul class="devices">
        {guest.disks.map((disk) => (
          <DeviceCard
            key={disk.id}
            guest={guest}
            kind="disk"
            device={disk}
            icon="disk"
            name={`disk ${disk.name}`}
            title={disk.name}
            facts={[
              formatMiB(disk.sizeMiB),
              disk.store !== null && `on store ${disk.store}`,
              disk.image !== null && `made from ${disk.image}`,
              disk.readonly && "read-only",
              disk.cache === "direct" && "past the host’s cache",
              !disk.writeCache && "no write cache",
              limitWords(disk.rateLimit),
            ]}
            loss="Everything on it is deleted too. This cannot be undone"
            onEdit={() => setEdits(disk)}
          >
            <DeviceChart
              figures={figures}
              length={length}
              ways={["read", "written"]}
              operations="requests"
              count={({ disks }) => {
                const it = disks[disk.id];
                return it &&
                  { operations: it.reads + it.writes, bytes: [it.readBytes, it.writtenBytes] };
              }}
            />
          </DeviceCard>
        ))}
      </ul>
      <Dialog
        title={edits === "new" || edits === null ? "Add a disk" : `Change disk ${edits.name}`}
        isOpen={edits !== null}
        onClose={done}
      >
        {edits !== null && (
          <DiskForm
            guest={guest}
            host={host}
            disk={edits === "new" ? undefined : edits}
            onDone={done}
          />
        )}
      </Dialog>
    </section>
  );
}
