import { type ForkNetwork, MOST_FORKS } from "../../hypervisor/supervisor/api/limits.ts";
import type { ForkCreate, Guest, Snapshot } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, loadSchemas } from "./api.ts";
import { Field } from "./field.tsx";
import { FormEnd } from "./form_end.tsx";
import { checkForm, initially, initiallyChecked } from "./forms.ts";
import { addTask } from "./live_tasks.ts";
import { numberOf, useForm } from "./use_form.ts";

interface ForkFormProps {
  guest: Guest;
  /** Forks it as it was there, instead of as it is now. */
  snapshot?: Snapshot;
  onDone: () => void;
}

/** Makes more guests out of one. */
export function ForkForm({ guest, snapshot, onDone }: ForkFormProps) {
  const { errors, isBusy, submit } = useForm<ForkCreate>({
    check: async (data) => {
      const { ForkCreate } = await loadSchemas();
      return checkForm(ForkCreate, readFork(data, snapshot?.id ?? null));
    },
    send: async (body) => {
      addTask(await call("forkGuest", { params: { id: guest.id }, body }));
      onDone();
    },
    fieldOf: forkFieldOf,
  });
  const hasMemory = snapshot ? snapshot.memory : guest.state === "running";
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <p class="dialog-text">
        {hasMemory
          ? "Each new guest goes on from the same instant, with memory and disks of its own"
          : "Each new guest has a copy of the disks, and boots"}
        . {!snapshot && guest.state === "running" && `${guest.name} runs on`}
      </p>
      <ForkFields errors={errors} source={guest.name} goesOn={hasMemory} />
      <FormEnd verb="Fork" isBusy={isBusy} onCancel={onDone} />
    </form>
  );
}

interface ForkFieldsProps {
  errors: Record<string, string>;
  /** The name that new guests are called after where none is given. */
  source: string;
  /** Whether they go on from its memory, with its addresses in it. */
  goesOn: boolean;
}

/** By the values that the API has for it; nothing for its default. */
const NETWORKS: Record<ForkNetwork | "", string> = {
  "": "New cards where they can be exchanged, else links down",
  replug: "New cards",
  down: "Links down",
  up: "As it is",
};

/** How many guests are to be made, and how they are called. */
export function ForkFields({ errors, source, goesOn }: ForkFieldsProps) {
  return (
    <>
      <div class="two">
        <Field id="fork-count" label="How many" error={errors.count} hint={`1 to ${MOST_FORKS}`}>
          {(attributes) => (
            <input
              {...attributes}
              name="count"
              type="number"
              inputMode="numeric"
              min="1"
              max={String(MOST_FORKS)}
              {...initially("1")}
            />
          )}
        </Field>
        <Field
          id="fork-name"
          label="Name of the new ones"
          error={errors.name}
          hint={`Left empty: after ${source}. Several get -1, -2 and so on`}
        >
          {(attributes) => (
            <input {...attributes} name="name" autoComplete="off" spellcheck={false} />
          )}
        </Field>
      </div>
      {goesOn && (
        <Field
          id="fork-network"
          label="Their network"
          error={errors.network}
          hint={`They have the addresses of ${source} until they get new cards, or see to it themselves`}
        >
          {(attributes) => (
            <select {...attributes} name="network">
              {Object.entries(NETWORKS).map(([value, label]) => (
                <option key={value} value={value}>{label}</option>
              ))}
            </select>
          )}
        </Field>
      )}
      <label class="check">
        <input type="checkbox" name="start" {...initiallyChecked(true)} />
        <span>They run at once</span>
      </label>
    </>
  );
}

/** Where a problem that names no field belongs. */
export function forkFieldOf(code: string): string | undefined {
  return { name_taken: "name", not_enough_memory: "count", disk_full: "count" }[code];
}

/** The form's values as the API wants them; not checked yet. */
export function readFork(data: FormData, snapshot: string | null): unknown {
  const name = String(data.get("name") ?? "").trim();
  return {
    count: numberOf(data, "count"),
    name: name === "" ? undefined : name,
    snapshot,
    network: String(data.get("network") ?? "") || undefined,
    start: data.has("start"),
  };
}
