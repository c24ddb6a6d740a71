import { LAST_PLACE, MOST_DELAY_SECONDS } from "../../hypervisor/supervisor/api/limits.ts";
import type { StartOrder } from "../../hypervisor/supervisor/api/schemas.ts";
import { Field } from "./field.tsx";

interface StartOrderFieldsProps {
  order: StartOrder | null;
  errors: Record<string, string>;
}

/** When a guest starts, beside others. */
export function StartOrderFields({ order, errors }: StartOrderFieldsProps) {
  return (
    <div class="two">
      <Field
        id="set-place"
        label="Place among those that start"
        error={errors["startOrder.place"] ?? errors.startOrder}
        hint="Small numbers first; without one, it is among the last"
      >
        {(attributes) => (
          <input
            {...attributes}
            name="startOrder.place"
            type="number"
            inputMode="numeric"
            min={1}
            max={LAST_PLACE}
            defaultValue={order === null ? "" : `${order.place}`}
          />
        )}
      </Field>
      <Field
        id="set-delay"
        label="Seconds until the next place"
        error={errors["startOrder.delaySeconds"]}
        hint="They end in the reverse order, without waiting"
      >
        {(attributes) => (
          <input
            {...attributes}
            name="startOrder.delaySeconds"
            type="number"
            inputMode="numeric"
            min={0}
            max={MOST_DELAY_SECONDS}
            defaultValue={`${order?.delaySeconds ?? 0}`}
          />
        )}
      </Field>
    </div>
  );
}

/** The form's values as the API wants them; not checked yet. */
export function startOrderOf(data: FormData): unknown {
  const [place, delay] = ["place", "delaySeconds"].map((name) =>
    String(data.get(`startOrder.${name}`) ?? "").trim()
  );
  if (place === "") return null;
  return { place: Number(place), delaySeconds: delay === "" ? 0 : Number(delay) };
}
