import type { Figures } from "../../hypervisor/supervisor/api/schemas.ts";
import { Chart } from "../components/chart.tsx";
import { formatByteRate, formatRate, ratesOf } from "../components/rates.ts";

interface Counts {
  operations: number;
  /** For each way. */
  bytes: [number, number];
}

interface DeviceChartProps {
  figures: Figures[];
  length: number;
  /** The names of the two ways, such as "read" and "written". */
  ways: [string, string];
  /** A device's counters in one look; undefined where it was not there. */
  count: (look: Figures) => Counts | undefined;
  /** What is counted, such as "requests". */
  operations: string;
}

/** How much goes through a device, both ways. */
export function DeviceChart({ figures, length, ways, count, operations }: DeviceChartProps) {
  const looks = figures.map((look) => ({ at: look.at, counts: count(look) }));
  if (looks.every(({ counts }) => counts === undefined)) return null;
  const rates = (of: (counts: Counts) => number) =>
    ratesOf(looks.map(({ at, counts }) => ({ at, count: counts ? of(counts) : null })));
  const lines = ways.map((label, i) => {
    const values = rates(({ bytes }) => bytes[i]);
    return { label, values, now: formatByteRate(values.at(-1)) };
  });
  const perSecond = rates((counts) => counts.operations).at(-1);
  return <Chart title={`${formatRate(perSecond)} ${operations}`} length={length} lines={lines} />;
}
