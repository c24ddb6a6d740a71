/**
 * What a guest's pause goes into. It is noted in every pause, for it costs next to nothing: a look at the
 * clock for each part.
 *
 * @module
 */

/** In the order in which they come; the last four only where a guest is sent. */
const PARTS = [
  /** The vCPUs leave the guest. */
  "leave",
  /** Devices come to rest. */
  "rest",
  /** Registers are taken, and written down where they are sent; the last of memory is copied meanwhile. */
  "registers",
  /** What that takes longer. */
  "memory",
  /** The other VMM gets the state, and builds the machine of it. */
  "build",
  /** What else is waited for: disks, whoever holds the guest. */
  "hold",
  /** It is written down that the guest is given away. */
  "record",
  /** The other VMM lets it run, and says so. */
  "run",
] as const;
export type PausePart = typeof PARTS[number];

/** In milliseconds. */
export type PauseFigures = Partial<Record<PausePart, number>>;

export class PauseParts {
  readonly #ms = new Float64Array(PARTS.length);
  #since = 0;

  /** The guest is asked to stop. */
  begin(): void {
    this.#ms.fill(0);
    this.#since = performance.now();
  }

  /** What has passed since the part before was for this one. */
  end(part: PausePart): void {
    const now = performance.now();
    this.#ms[PARTS.indexOf(part)] += now - this.#since;
    this.#since = now;
  }

  /** Those that there were. */
  get figures(): PauseFigures {
    const all = PARTS.map((part, i) => [part, Math.round(this.#ms[i] * 1000) / 1000] as const);
    return Object.fromEntries(all.filter(([, ms]) => ms > 0));
  }
}
