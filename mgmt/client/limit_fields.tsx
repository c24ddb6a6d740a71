import type { RateLimit } from "../../hypervisor/supervisor/api/schemas.ts";
import { Field } from "./field.tsx";
import { numberOf } from "./use_form.ts";

const MIB = 1024 * 1024;

interface LimitFieldsProps {
  /** Where the limit lies in the body, such as "rateLimit". */
  path: string;
  /** What is limited, such as "Receiving". */
  title: string;
  /** What is counted, such as "Requests". */
  operations: string;
  limit: RateLimit | null;
  errors: Record<string, string>;
}

/** A rate limit's four numbers; what is left empty is unlimited. */
export function LimitFields({ path, title, operations, limit, errors }: LimitFieldsProps) {
  const isOpen = limit !== null || Object.keys(errors).some((it) => it.startsWith(path));
  const mib = (bytes: number | undefined) => bytes === undefined ? undefined : `${bytes / MIB}`;
  const number = (name: string, label: string, value: string | undefined, hint?: string) => (
    <Field id={`${path}-${name}`} label={label} error={errors[`${path}.${name}`]} hint={hint}>
      {(attributes) => (
        <input
          {...attributes}
          name={`${path}.${name}`}
          type="number"
          min="0"
          step="any"
          inputMode="decimal"
          defaultValue={value ?? ""}
        />
      )}
    </Field>
  );
  return (
    <details class="more" open={isOpen}>
      <summary>{title}</summary>
      <div class="two">
        {number(
          "operationsPerSecond",
          `${operations} per second`,
          limit?.operationsPerSecond?.toString(),
          "Empty: unlimited",
        )}
        {number(
          "operationsBurst",
          `${operations} at once after a pause`,
          limit?.operationsBurst?.toString(),
        )}
        {number("bytesPerSecond", "MiB per second", mib(limit?.bytesPerSecond), "Empty: unlimited")}
        {number("bytesBurst", "MiB at once after a pause", mib(limit?.bytesBurst))}
      </div>
    </details>
  );
}

/** The limit as the API wants it; not checked yet. */
export function readLimit(data: FormData, path: string): RateLimit | null {
  const read = (name: string, factor: number) => {
    const value = numberOf(data, `${path}.${name}`);
    return value === null ? undefined : factor === 1 ? value : Math.round(value * factor);
  };
  const all = {
    operationsPerSecond: read("operationsPerSecond", 1),
    operationsBurst: read("operationsBurst", 1),
    bytesPerSecond: read("bytesPerSecond", MIB),
    bytesBurst: read("bytesBurst", MIB),
  };
  const said = Object.entries(all).filter(([, value]) => value !== undefined);
  return said.length === 0 ? null : Object.fromEntries(said);
}

/** A limit in a few words; null where there is none. */
export function limitWords(limit: RateLimit | null): string | null {
  const { operationsPerSecond, bytesPerSecond } = limit ?? {};
  const parts = [
    operationsPerSecond && `${operationsPerSecond}/s`,
    bytesPerSecond && `${Number((bytesPerSecond / MIB).toPrecision(3))} MiB/s`,
  ].filter(Boolean);
  return parts.length === 0 ? null : `at most ${parts.join(" and ")}`;
}
