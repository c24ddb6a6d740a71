import type { ComponentChildren } from "preact";

interface CheckProps {
  name: string;
  isOn: boolean;
  error?: string;
  hint?: string;
  onChange?: (isOn: boolean) => void;
  children: ComponentChildren;
}

/** A box to check, with what is to be known or wrong about it. */
export function Check({ name, isOn, error, hint, onChange, children }: CheckProps) {
  const id = name.replaceAll(".", "-");
  const notes = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <div>
      <label class="check">
        <input
          type="checkbox"
          name={name}
          defaultChecked={isOn}
          onChange={onChange && ((event) => onChange(event.currentTarget.checked))}
          aria-describedby={notes || undefined}
          aria-invalid={error ? "true" : undefined}
        />
        <span>{children}</span>
      </label>
      {error && <p class="field-error" id={`${id}-error`}>{error}</p>}
      {hint && <p class="field-hint check-hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}
