import type { Host } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatMiB } from "../components/format.ts";
import { Field } from "./field.tsx";

interface StoreFieldProps {
  host: Host;
  id: string;
  name: string;
  /** What is chosen; "" for the host's own. */
  value: string;
  error?: string;
  disabled?: boolean;
  onChange: (store: string) => void;
}

/** Where a disk is to be; nothing where the host has no stores. */
export function StoreField({ host, id, name, value, error, disabled, onChange }: StoreFieldProps) {
  if (host.stores.length === 0) return null;
  const refused = host.stores.filter(({ problem }) => problem !== null);
  return (
    <Field
      id={id}
      label="Where it is"
      error={error}
      hint={refused.length > 0
        ? refused.map(({ name, problem }) => `${name} cannot be used: ${problem}`).join(". ")
        : value === ""
        ? "When its guest moves, it goes along"
        : "When its guest moves to a host that has the store too, it stays where it is"}
    >
      {(attributes) => (
        <select
          {...attributes}
          name={name}
          value={value}
          disabled={disabled}
          onChange={(event) => onChange(event.currentTarget.value)}
        >
          <option value="">This host</option>
          {host.stores.map(({ name, problem }) => (
            <option key={name} value={name} disabled={problem !== null}>Store {name}</option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** How much room there is where a disk is to be. */
export function roomWords({ diskFreeMiB, stores }: Host, store: string): string {
  const found = stores.find(({ name }) => name === store);
  return found
    ? `${formatMiB(found.freeMiB)} of the store’s are free`
    : `${formatMiB(diskFreeMiB)} of the host’s are free`;
}
