/**
 * The fields of a configuration, each taken from JSON by one function that says what was wrong.
 *
 * @module
 */

/** What is wrong with a configuration; the VMM exits with EXIT_CODES.refused. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export function refuse(what: string, value: unknown, wanted: string): never {
  const shown = typeof value === "number" ? value : JSON.stringify(value);
  throw new ConfigError(`Cannot use ${what} ${shown}: ${wanted}`);
}

export function record(
  value: unknown,
  what: string,
  keys: readonly string[],
): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse(what, value, "it must be an object");
  }
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  if (unknown !== undefined) refuse(what, unknown, `known fields are ${keys.join(", ")}`);
  return value as Record<string, unknown>;
}

export function text(value: unknown, what: string): string {
  if (typeof value !== "string" || value === "" || value.includes("\0")) {
    refuse(what, value, "it must be text");
  }
  return value;
}

export function optionalText(value: unknown, what: string): string | undefined {
  return value === undefined || value === null ? undefined : text(value, what);
}

export function whole(value: unknown, what: string, range: { min: number; max: number }): number {
  const { min, max } = range;
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    refuse(what, value, `it must be a whole number from ${min} to ${max}`);
  }
  return value;
}

export function list(value: unknown, what: string, max: number): unknown[] {
  if (!Array.isArray(value)) refuse(what, value, "it must be a list");
  if (value.length > max) refuse(what, value.length, `there may be at most ${max}`);
  return value;
}

export function flag(value: unknown, what: string): boolean | undefined {
  if (value !== undefined && typeof value !== "boolean") {
    refuse(what, value, "it must be true or false");
  }
  return value;
}

export function oneOf<T extends string>(
  value: unknown,
  what: string,
  choices: readonly T[],
): T | undefined {
  if (value === undefined || choices.includes(value as T)) return value as T | undefined;
  refuse(what, value, `it must be one of ${choices.join(", ")}`);
}
