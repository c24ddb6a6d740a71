/**
 * From the form that an earlier release kept its settings in to this release's, one version at a time.
 *
 * @module
 */
import { SETTINGS_VERSION } from "../../hypervisor/supervisor/api/host_settings.ts";

/** What a file of kept settings holds, of whatever version. */
export type KeptValue = Record<string, unknown>;

/** From one version to the next; must not fail on what that version could have written. */
export type Migration = (before: KeptValue) => KeptValue;

/** By the version that they begin with. There has been one form so far. */
export const MIGRATIONS: Readonly<Record<number, Migration>> = {};

/** The settings in the wanted form; null if they are of no version that leads there. */
export function migrate(
  value: KeptValue,
  { to = SETTINGS_VERSION, steps = MIGRATIONS }: {
    to?: number;
    steps?: Readonly<Record<number, Migration>>;
  } = {},
): KeptValue | null {
  let version = value.version;
  if (typeof version !== "number" || !Number.isSafeInteger(version) || version > to) return null;
  let migrated = value;
  while (version < to) {
    if (!Object.hasOwn(steps, version)) return null;
    migrated = { ...steps[version](migrated), version: ++version };
  }
  return migrated;
}
