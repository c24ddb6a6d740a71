import type { Figures, Guest, Host } from "../../hypervisor/supervisor/api/schemas.ts";
import { DiskPanel } from "./disk_panel.tsx";
import { useFigures } from "./live.ts";
import { MemoryPanel } from "./memory_panel.tsx";
import { NetPanel } from "./net_panel.tsx";

/** As many looks as a chart shows. */
const LENGTH = 60;

interface DevicePanelsProps {
  guest: Guest;
  host: Host;
  /** What was known when the page was made. */
  figures: Figures[];
}

/** A guest's disks, network cards and memory, with what they do now. */
export function DevicePanels({ guest, host, figures: seed }: DevicePanelsProps) {
  const figures = useFigures(guest.id, seed);
  const isUp = guest.state === "running" || guest.state === "stopping";
  const shown = isUp ? figures : [];
  return (
    <section class="device-panels" aria-label="Devices">
      <h2>
        Devices {guest.freePorts !== null && (
          <span class="device-ports">
            {guest.freePorts === 1
              ? "1 free port to plug into"
              : `${guest.freePorts} free ports to plug into`}
          </span>
        )}
      </h2>
      <div class="panels">
        <DiskPanel guest={guest} host={host} figures={shown} length={LENGTH} />
        <NetPanel guest={guest} host={host} figures={shown} length={LENGTH} />
        <MemoryPanel guest={guest} figures={shown} length={LENGTH} />
      </div>
    </section>
  );
}
