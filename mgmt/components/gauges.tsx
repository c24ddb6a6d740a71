import type { Guest, Host } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatMiB } from "./format.ts";

interface Part {
  key: string;
  label: string;
  share: number;
}

interface GaugeProps {
  label: string;
  value: string;
  of: string;
  parts: Part[];
}

/** How much of something is taken, and by whom. */
function Gauge({ label, value, of, parts }: GaugeProps) {
  let at = 0;
  const placed = parts.map((part) => {
    const share = Math.max(0, Math.min(part.share, 1 - at));
    const x = at;
    at += share;
    return { ...part, x, share };
  });
  return (
    <div class="gauge">
      <p class="gauge-label">{label}</p>
      <p class="gauge-value">
        <b>{value}</b> <span>of {of}</span>
      </p>
      <svg
        class="gauge-bar"
        viewBox="0 0 100 6"
        preserveAspectRatio="none"
        role="img"
        aria-label={`${label}: ${value} of ${of}`}
      >
        <rect class="gauge-rest" width="100" height="6" />
        {placed.map(({ key, label, x, share }, i) => (
          <rect
            key={key}
            class={`gauge-part part-${i % 3}`}
            x={100 * x}
            width={100 * share}
            height="6"
          >
            <title>{label}</title>
          </rect>
        ))}
      </svg>
    </div>
  );
}

const RUNS = ["starting", "running", "stopping"];

export function HostGauges({ host, guests }: { host: Host; guests: Guest[] }) {
  const running = guests.filter(({ state }) => RUNS.includes(state));
  const cpus = running.reduce((sum, it) => sum + it.cpus, 0);
  const usedMemory = host.memoryMiB - host.memoryFreeMiB;
  const memoryOf = (it: Guest) => it.memoryMiB + it.memory.requestedMiB;
  const guestMemory = running.reduce((sum, it) => sum + memoryOf(it), 0);
  const usedDisk = host.diskMiB - host.diskFreeMiB;
  const ratio = (part: number, whole: number) => whole > 0 ? part / whole : 0;
  return (
    <section class="gauges" aria-label="The host">
      <Gauge
        label="vCPUs running"
        value={String(cpus)}
        of={host.cpus === 1 ? "1 CPU" : `${host.cpus} CPUs`}
        parts={running.map((it) => ({
          key: it.id,
          label: `${it.name}: ${it.cpus}`,
          share: ratio(it.cpus, Math.max(host.cpus, cpus)),
        }))}
      />
      <Gauge
        label="Memory of running guests"
        value={formatMiB(guestMemory)}
        of={formatMiB(host.memoryMiB)}
        parts={running.map((it) => ({
          key: it.id,
          label: `${it.name}: ${formatMiB(memoryOf(it))}`,
          share: ratio(memoryOf(it), Math.max(host.memoryMiB, guestMemory)),
        }))}
      />
      <Gauge
        label="Host memory in use"
        value={formatMiB(usedMemory)}
        of={formatMiB(host.memoryMiB)}
        parts={[{
          key: "used",
          label: formatMiB(usedMemory),
          share: ratio(usedMemory, host.memoryMiB),
        }]}
      />
      <Gauge
        label="Storage in use"
        value={formatMiB(usedDisk)}
        of={formatMiB(host.diskMiB)}
        parts={[{ key: "used", label: formatMiB(usedDisk), share: ratio(usedDisk, host.diskMiB) }]}
      />
      {host.stores.filter(({ problem }) => problem === null).map((store) => {
        const used = store.sizeMiB - store.freeMiB;
        return (
          <Gauge
            key={store.name}
            label={`Store ${store.name} in use`}
            value={formatMiB(used)}
            of={formatMiB(store.sizeMiB)}
            parts={[{ key: "used", label: formatMiB(used), share: ratio(used, store.sizeMiB) }]}
          />
        );
      })}
    </section>
  );
}

/** Why no guest can run here, or not those with disks on a store. */
export function HostProblem({ host }: { host: Host }) {
  const stores = host.stores.filter(({ problem }) => problem !== null);
  return (
    <>
      {host.kvmProblem !== null && (
        <div class="banner" role="alert">
          <b>No guest can run on this host.</b> {host.kvmProblem}
        </div>
      )}
      {stores.map(({ name, problem }) => (
        <div class="banner" role="alert" key={name}>
          <b>Store {name} cannot be used.</b> Guests with disks there do not start: {problem}
        </div>
      ))}
    </>
  );
}
