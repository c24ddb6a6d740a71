import { useState } from "preact/hooks";
import { fieldErrors, messageOf } from "./api.ts";
import { type Checked, focusFirst, placeErrors } from "./forms.ts";

interface UseFormOptions<T> {
  /** The form's values, checked as the API will check them. */
  check: (data: FormData) => Promise<Checked<T>>;
  send: (value: T) => Promise<void>;
  /** The field that a problem belongs to which names none. */
  fieldOf?: (code: string) => string | undefined;
}

export interface FormState {
  /** Messages by field; what belongs to none is under "form". */
  errors: Record<string, string>;
  isBusy: boolean;
  submit: (event: SubmitEvent) => Promise<void>;
}

/** A form that tells at its fields what is wrong, whether the browser or the host finds it. */
export function useForm<T>({ check, send, fieldOf }: UseFormOptions<T>): FormState {
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy) return;
    const form = event.target as HTMLFormElement;
    const fail = (found: Record<string, string>) => {
      const names = Array.from(form.elements, (it) => (it as HTMLInputElement).name);
      const placed = placeErrors(found, names);
      setErrors(placed);
      setBusy(false);
      focusFirst(form, placed);
    };
    setBusy(true);
    setErrors({});
    try {
      const checked = await check(new FormData(form));
      if ("errors" in checked) return fail(checked.errors);
      await send(checked.value);
      setBusy(false);
    } catch (error) {
      const fields = fieldErrors(error);
      if (Object.keys(fields).length > 0) return fail(fields);
      const code = (error as { problem?: { code: string } }).problem?.code ?? "";
      fail({ [fieldOf?.(code) ?? "form"]: messageOf(error) });
    }
  };
  return { errors, isBusy, submit };
}

/** A field's number; null where it was left empty. */
export function numberOf(data: FormData, name: string): number | null {
  const text = String(data.get(name) ?? "").trim();
  return text === "" ? null : Number(text);
}
