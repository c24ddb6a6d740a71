import { useState } from "preact/hooks";
import type { Guest, SnapshotCreate } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatTime } from "../components/format.ts";
import { call, loadSchemas } from "./api.ts";
import { Check } from "./check.tsx";
import { Field } from "./field.tsx";
import { FormEnd } from "./form_end.tsx";
import { checkForm } from "./forms.ts";
import { addTask } from "./live_tasks.ts";
import { More } from "./more.tsx";
import { numberOf, useForm } from "./use_form.ts";

interface SnapshotFormProps {
  guest: Guest;
  onDone: () => void;
}

/** When a snapshot is taken, by the names that the form has for it. */
const MOMENTS = {
  now: "Now",
  agent: "Once its agent answers",
  serial: "Once its terminal has said a text",
};

/** Takes a snapshot of a guest. */
export function SnapshotForm({ guest, onDone }: SnapshotFormProps) {
  const isUp = guest.state === "running";
  const [moment, setMoment] = useState("now");
  const [hasMemory, setMemory] = useState(isUp);
  const { errors, isBusy, submit } = useForm<SnapshotCreate>({
    check: async (data) => {
      const { SnapshotCreate } = await loadSchemas();
      return checkForm(SnapshotCreate, readSnapshot(data, isUp));
    },
    send: async (body) => {
      addTask(await call("createSnapshot", { params: { id: guest.id }, body }));
      onDone();
    },
    fieldOf: (code) => ({ name_taken: "name" })[code],
  });
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <Field id="snapshot-name" label="Name" error={errors.name}>
        {(attributes) => (
          <input
            {...attributes}
            name="name"
            autoComplete="off"
            defaultValue={formatTime(new Date().toISOString())}
          />
        )}
      </Field>
      <Field id="snapshot-description" label="Description" error={errors.description}>
        {(attributes) => <textarea {...attributes} name="description" rows={2} />}
      </Field>
      {isUp && (
        <Check
          name="memory"
          isOn
          onChange={setMemory}
          hint="Then it goes on in the middle of what it does now. Without, it boots, as after a power cut"
        >
          With its memory
        </Check>
      )}
      {hasMemory && (
        <Check
          name="incremental"
          isOn={false}
          hint="Until then every change of its memory is kept track of, which makes it a little slower"
        >
          The next one writes only what has changed
        </Check>
      )}
      {isUp && (
        <Check
          key={hasMemory ? "frozen" : "written"}
          name="freeze"
          isOn={!hasMemory}
          error={errors.freeze}
          hint={hasMemory
            ? "For the disks to be good without the memory, too. An agent in the guest must answer, now and wherever it goes on"
            : "Where an agent in the guest answers"}
        >
          {hasMemory ? "Freeze its file systems" : "Have it write its files out first"}
        </Check>
      )}
      <Check name="template" isOn={false} hint="It is then offered where a guest is created">
        Guests are to be made of it
      </Check>
      {isUp && (
        <More title="When" errors={errors} fields="readiness">
          <Field id="snapshot-moment" label="It is taken" error={errors.readiness}>
            {(attributes) => (
              <select
                {...attributes}
                name="moment"
                value={moment}
                onChange={(event) => setMoment(event.currentTarget.value)}
              >
                {Object.entries(MOMENTS).map(([value, label]) => (
                  <option key={value} value={value}>{label}</option>
                ))}
              </select>
            )}
          </Field>
          {moment === "serial" && (
            <Field id="snapshot-serial" label="The text" error={errors["readiness.serial"]}>
              {(attributes) => (
                <input
                  {...attributes}
                  class="code"
                  name="readiness.serial"
                  autoComplete="off"
                  defaultValue="login:"
                />
              )}
            </Field>
          )}
          {moment !== "now" && (
            <Field
              id="snapshot-within"
              label="Given up after, seconds"
              error={errors["readiness.withinSeconds"]}
            >
              {(attributes) => (
                <input
                  {...attributes}
                  name="readiness.withinSeconds"
                  type="number"
                  inputMode="numeric"
                  min="1"
                  max="3600"
                  defaultValue="300"
                />
              )}
            </Field>
          )}
        </More>
      )}
      <FormEnd verb="Take the snapshot" isBusy={isBusy} onCancel={onDone} />
    </form>
  );
}

/** The form's values as the API wants them; not checked yet. */
function readSnapshot(data: FormData, isUp: boolean): unknown {
  const moment = String(data.get("moment") ?? "now");
  return {
    name: String(data.get("name")),
    description: String(data.get("description")),
    template: data.has("template"),
    // Of a guest that is off there is nothing to choose.
    ...(isUp && {
      memory: data.has("memory"),
      incremental: data.has("incremental"),
      // Without memory it need not: disks as after a power cut are better than none.
      freeze: data.has("freeze") ? data.has("memory") || undefined : false,
      readiness: moment === "now" ? null : {
        agent: moment === "agent",
        serial: moment === "serial" ? String(data.get("readiness.serial")) : null,
        withinSeconds: numberOf(data, "readiness.withinSeconds"),
      },
    }),
  };
}
