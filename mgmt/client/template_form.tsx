import { useState } from "preact/hooks";
import type { ForkCreate, Template } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatBytes } from "../components/format.ts";
import { call, loadSchemas } from "./api.ts";
import { Field } from "./field.tsx";
import { forkFieldOf, ForkFields, readFork } from "./fork_form.tsx";
import { checkForm } from "./forms.ts";
import { useHydrated } from "./hydrated.ts";
import { addTask } from "./live_tasks.ts";
import { follow } from "./shortcuts.ts";
import { useForm } from "./use_form.ts";

/** Makes guests of a template. */
export function TemplateForm({ templates }: { templates: Template[] }) {
  const isHydrated = useHydrated();
  const [chosen, setChosen] = useState(templates[0].snapshot.id);
  const { guest, snapshot } = templates.find((it) => it.snapshot.id === chosen) ?? templates[0];
  const { errors, isBusy, submit } = useForm<ForkCreate>({
    check: async (data) => {
      const { ForkCreate } = await loadSchemas();
      return checkForm(ForkCreate, readFork(data, snapshot.id));
    },
    send: async (body) => {
      addTask(await call("forkGuest", { params: { id: guest.id }, body }));
      follow("/");
    },
    fieldOf: forkFieldOf,
  });
  return (
    <form class="form template" method="post" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <fieldset>
        <legend>From a template</legend>
        <Field
          id="template"
          label="Template"
          error={errors.snapshot}
          hint={snapshot.description ||
            (snapshot.memory ? "It goes on in the middle of what was saved" : "It boots")}
        >
          {(attributes) => (
            <select
              {...attributes}
              name="template"
              value={chosen}
              onChange={(event) => setChosen(event.currentTarget.value)}
            >
              {templates.map(({ guest, snapshot }) => (
                <option key={snapshot.id} value={snapshot.id}>
                  {snapshot.name}, of {guest.name}{" "}
                  ({formatBytes(snapshot.memoryBytes + snapshot.diskBytes)})
                </option>
              ))}
            </select>
          )}
        </Field>
        <ForkFields errors={errors} source={guest.name} goesOn={snapshot.memory} />
      </fieldset>
      <div class="row form-end">
        <button
          type="submit"
          class="button primary"
          disabled={!isHydrated}
          aria-busy={isBusy ? "true" : undefined}
        >
          Create from the template
        </button>
      </div>
    </form>
  );
}
