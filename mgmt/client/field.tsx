import type { ComponentChildren } from "preact";

/** What ties a control to its label and notes. */
export interface ControlAttributes {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: "true";
}

interface FieldProps {
  id: string;
  label: string;
  hint?: ComponentChildren;
  error?: string;
  children: (attributes: ControlAttributes) => ComponentChildren;
}

/** A label, a control, and what is to be known or wrong about it, tied together. */
export function Field({ id, label, hint, error, children }: FieldProps) {
  const notes = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <div class={`field ${error ? "wrong" : ""}`}>
      <label for={id}>{label}</label>
      {children({
        id,
        "aria-describedby": notes || undefined,
        "aria-invalid": error ? "true" : undefined,
      })}
      {error && <p class="field-error" id={`${id}-error`}>{error}</p>}
      {hint && <p class="field-hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}
