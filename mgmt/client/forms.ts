/**
 * Forms whose values are checked by the API's own schemas before they are sent.
 *
 * @module
 */
import { IS_BROWSER } from "fresh/runtime";
import type { z } from "zod";

/**
 * What a field holds at first. The server writes it; in the browser it is the person's, who may have
 * typed before the page was alive.
 */
export function initially(value: string): { value: string } | { defaultValue: string } {
  return IS_BROWSER ? { defaultValue: value } : { value };
}

/** The same for a box that can be checked. */
export function initiallyChecked(
  isOn: boolean,
): { checked: boolean } | { defaultChecked: boolean } {
  return IS_BROWSER ? { defaultChecked: isOn } : { checked: isOn };
}

export type Checked<T> = { value: T } | { errors: Record<string, string> };

/** The value, or a message for each wrong field by its path, such as "disk.sizeMiB". */
export function checkForm<S extends z.ZodType>(
  schema: S,
  input: unknown,
): Checked<z.input<S>> {
  const result = schema.safeParse(input);
  if (result.success) return { value: input as z.input<S> };
  const errors: Record<string, string> = {};
  for (const issue of result.error.issues) errors[issue.path.join(".")] ??= wordsFor(issue);
  return { errors };
}

/** The schemas' own messages are words already; of their limits this makes some. */
function wordsFor(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "too_small":
      return issue.origin === "string" ? "Must not be empty" : `Must be at least ${issue.minimum}`;
    case "too_big":
      return issue.origin === "string"
        ? `Must have at most ${issue.maximum} characters`
        : `Must be at most ${issue.maximum}`;
    case "invalid_type":
      return issue.expected === "int" || issue.expected === "number"
        ? "Must be a whole number"
        : `Must be ${issue.expected}`;
    default:
      return issue.message.charAt(0).toUpperCase() + issue.message.slice(1);
  }
}

/**
 * Each message at the field that its path names or lies in, such as "cpu.pinning" for
 * "cpu.pinning.0"; what has none goes to "form", which is told above all fields.
 */
export function placeErrors(
  found: Record<string, string>,
  fields: readonly string[],
): Record<string, string> {
  const placed: Record<string, string> = {};
  const lost: string[] = [];
  for (const [path, message] of Object.entries(found)) {
    const field = fields.find((name) =>
      name !== "" && (path === name || path.startsWith(`${name}.`))
    );
    if (field !== undefined) placed[field] ??= message;
    else lost.push(path === "" || path === "form" ? message : `${path}: ${message}`);
  }
  return lost.length === 0 ? placed : { ...placed, form: lost.join(". ") };
}

/** Puts the focus on the first field, in the form's order, that is wrong. */
export function focusFirst(form: HTMLFormElement, errors: Record<string, string>): void {
  for (const element of form.elements) {
    const name = (element as HTMLInputElement).name;
    if (name && Object.hasOwn(errors, name)) return (element as HTMLElement).focus();
  }
}
