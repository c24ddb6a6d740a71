/**
 * Collects one benchmark's figures as they come, with a line of progress for each.
 *
 * @module
 */
import type { Contender, Row } from "./rows.ts";

/** What a row is about, before anybody has run. */
export type RowSpec = Omit<Row, "runs">;

/** The rows of one benchmark. */
export class Recorder {
  readonly #rows = new Map<string, Row>();
  readonly #failures: string[] = [];
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** Adds a contender's figure to its row, which comes to be with its first. */
  add(spec: RowSpec, contender: Contender, value: number): void {
    if (!Number.isFinite(value) || value < 0) {
      throw new Error(`Cannot record "${spec.name}": ${contender} gave ${value}`);
    }
    const row = this.#rows.get(spec.name) ?? { ...spec, runs: {} };
    this.#rows.set(spec.name, row);
    (row.runs[contender] ??= []).push(value);
    this.#say(`${spec.name}: ${contender} ${figure(value)} ${spec.unit}`);
  }

  /** Runs one measurement; where it fails, that is said, and the others go on. */
  async attempt(what: string, measure: () => Promise<void>): Promise<boolean> {
    try {
      await measure();
      return true;
    } catch (thrown) {
      // What failed first says more than what then failed in tidying up.
      const error = thrown instanceof SuppressedError ? thrown.suppressed : thrown;
      this.#failures.push(`${what}: ${error.message}`);
      this.#say(`FAILED ${what}: ${error.message}`);
      return false;
    }
  }

  get rows(): Row[] {
    return [...this.#rows.values()];
  }

  get failures(): readonly string[] {
    return this.#failures;
  }
}

/** A number with three digits that matter, or all those before the point. */
export function figure(value: number): string {
  const digits = value === 0 ? 0 : 2 - Math.floor(Math.log10(value));
  return value.toFixed(Math.max(0, Math.min(digits, 3)));
}
