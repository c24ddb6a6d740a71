/**
 * Forms whose values are checked by the API's own schemas before they are sent.
 *
 * @module
 */
import type { z } from "zod";

export type Checked<T> = { value: T } | { errors: Record<string, string> };

/** The value, or a message for each wrong field by its path, such as "disk.sizeMiB". */
export function checkForm<S extends z.ZodType>(
  schema: S,
  input: unknown,
): Checked<z.input<S>> {
  const result = schema.safeParse(input);
  if (result.success) return { value: input as z.input<S> };
  const errors: Record<string, string> = {};
  for (const { path, message } of result.error.issues) errors[path.join(".")] ??= message;
  return { errors };
}

/** Puts the focus on the first field, in the form's order, that is wrong. */
export function focusFirst(form: HTMLFormElement, errors: Record<string, string>): void {
  for (const element of form.elements) {
    const name = (element as HTMLInputElement).name;
    if (name && Object.hasOwn(errors, name)) return (element as HTMLElement).focus();
  }
}
