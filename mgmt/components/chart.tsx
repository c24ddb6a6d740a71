/** One line of a chart, as values from old to new; a value that is not known leaves a gap. */
export interface Line {
  label: string;
  /** What its last value is for people. */
  now: string;
  values: (number | null)[];
}

interface ChartProps {
  /** What the chart is of, for those who do not see it. */
  title: string;
  lines: Line[];
  /** How many values the whole width has room for. */
  length: number;
  /** The value at the top; the largest there is by default. */
  most?: number;
}

const WIDTH = 120;
const HEIGHT = 32;

/** A small chart of one or two lines, newest at the right, with their last values as words. */
export function Chart({ title, lines, length, most }: ChartProps) {
  const top = most ?? Math.max(1, ...lines.flatMap(({ values }) => values.map((it) => it ?? 0)));
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        {lines.map(({ label, now }, i) => (
          <span key={label} class={`chart-key line-${i}`}>
            {label} <b class="number">{now}</b>
          </span>
        ))}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {lines.map(({ label, values }, i) => (
          <path key={label} class={`chart-line line-${i}`} d={pathOf(values, { length, top })} />
        ))}
      </svg>
    </figure>
  );
}

/** An SVG path through the values, against the right side. */
export function pathOf(
  values: (number | null)[],
  { length, top }: { length: number; top: number },
): string {
  const step = WIDTH / Math.max(1, length - 1);
  const shown = values.slice(-length);
  const first = WIDTH - step * (shown.length - 1);
  let path = "";
  let isPen = false;
  shown.forEach((value, i) => {
    if (value === null) {
      isPen = false;
      return;
    }
    const x = first + i * step;
    // Lines at the very edges would be cut in half.
    const y = 1 + (HEIGHT - 2) * (1 - Math.min(1, Math.max(0, value / top)));
    path += `${isPen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isPen = true;
  });
  return path;
}
