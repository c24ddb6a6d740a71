import { call } from "./api.ts";
import { Field } from "./field.tsx";
import { FormEnd } from "./form_end.tsx";
import { toast } from "./toasts.ts";
import { useForm } from "./use_form.ts";

const CHOICES = [
  ["", "Each as it is set"],
  ["save", "Save all that run, and have them go on"],
  ["shutdown", "Shut all down"],
] as const;

/** Asks what becomes of guests, and restarts the host. */
export function RestartForm({ onDone }: { onDone: () => void }) {
  const { errors, isBusy, submit } = useForm<{ guests?: "save" | "shutdown" }>({
    check(data) {
      const chosen = CHOICES.map(([value]) => value).find((it) => it === data.get("guests"));
      return Promise.resolve({ value: { guests: chosen || undefined } });
    },
    send: async (body) => {
      await call("restartHost", { body });
      toast("done", "The host restarts");
      onDone();
    },
  });
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <p class="dialog-text">
        This console comes back when the host has started. If what is tried does not prove itself,
        the host goes back to the system that runs now by itself
      </p>
      <Field id="restart-guests" label="Guests">
        {(attributes) => (
          <select {...attributes} name="guests">
            {CHOICES.map(([value, words]) => <option key={value} value={value}>{words}</option>)}
          </select>
        )}
      </Field>
      <FormEnd verb="Restart now" isBusy={isBusy} onCancel={onDone} isDanger />
    </form>
  );
}
