import { Field } from "./field.tsx";

interface ConfirmFieldProps {
  id: string;
  label: string;
  error?: string;
}

/** Where a guest's name is typed once more, before what cannot be undone. */
export function ConfirmField({ id, label, error }: ConfirmFieldProps) {
  return (
    <Field id={id} label={label} error={error}>
      {(attributes) => (
        <input
          {...attributes}
          name="confirm"
          autoComplete="off"
          autoCapitalize="none"
          spellcheck={false}
        />
      )}
    </Field>
  );
}
