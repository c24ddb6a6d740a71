/**
 * The file that pins Debian packages: a JSON object of suites, each an object of names.
 *
 * @module
 */
import type { PackageVersion } from "./apt.ts";
import type { Suite } from "./mirror.ts";

/** Pinned packages by suite and by the name that the project asks for. */
export type Lock = { [suite in Suite]?: Record<string, PackageVersion> };

/** Reads a lock file's text; `name` is for the error message. */
export function parseLock(text: string, name: string): Lock {
  const wrong = (what: string) =>
    new SyntaxError(`Cannot parse lock file "${name}": ${what}; run ./scripts/pins ${name}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw wrong((error as Error).message);
  }
  if (!isRecord(json)) throw wrong("not an object");
  const lock: Lock = {};
  for (const [suite, packages] of Object.entries(json)) {
    if (suite !== "bookworm" && suite !== "trixie") {
      throw wrong(`"${suite}" is neither bookworm nor trixie`);
    }
    if (!isRecord(packages)) throw wrong(`"${suite}" is not an object`);
    const pins: Record<string, PackageVersion> = {};
    for (const [key, pin] of Object.entries(packages)) {
      if (!isRecord(pin)) throw wrong(`"${key}" is not an object`);
      pins[key] = {
        package: matching(pin.package, /^[a-z0-9][a-z0-9+.-]+$/, `${key}.package`, wrong),
        version: matching(pin.version, /^[A-Za-z0-9.+:~-]+$/, `${key}.version`, wrong),
        sha256: matching(pin.sha256, /^[0-9a-f]{64}$/, `${key}.sha256`, wrong),
      };
    }
    lock[suite] = pins;
  }
  return lock;
}

/** The text of a lock file: sorted, so that a moved pin is one changed line. */
export function formatLock(lock: Lock): string {
  const sorted = <T>(record: Record<string, T>) =>
    Object.fromEntries(Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1));
  const suites = Object.fromEntries(
    Object.entries(sorted(lock)).map(([suite, pins]) => [suite, sorted(pins!)]),
  );
  return JSON.stringify(suites, null, 2) + "\n";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function matching(
  value: unknown,
  form: RegExp,
  name: string,
  wrong: (what: string) => Error,
): string {
  if (typeof value !== "string" || !form.test(value)) {
    throw wrong(
      `${name} is ${JSON.stringify(value) ?? "missing"}, which is not of the form ${form}`,
    );
  }
  return value;
}
