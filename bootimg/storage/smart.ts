/**
 * What a disk says of its own health, as `smartctl --json` prints it.
 *
 * @module
 */
import type { Smart } from "../../hypervisor/supervisor/api/storage_schemas.ts";

/** More than smartctl prints of any disk. */
export const MOST_BYTES = 512 * 1024;

/** Who sleeps is left asleep. */
export function smartArguments(device: string): string[] {
  return ["--json=c", "-n", "standby", "-H", "-A", device];
}

/** Attributes of ATA disks by their numbers. */
const REALLOCATED = 5;
const POWER_ON = 9;
const PENDING = 197;

/** Bits of NVMe's critical warning. */
const CRITICAL = [
  "its spare blocks are nearly used up",
  "it is too hot or too cold",
  "it is no longer reliable",
  "it can only be read from now on",
  "its buffer may be lost in a power cut",
];

type Json = Record<string, unknown>;

/**
 * The summary; null where the disk told nothing, because it sleeps, or has nothing to tell. What is
 * printed comes from the disk: nothing of it is taken that is not a number within reason.
 */
export function parseSmart(text: string, at: string): Smart | null {
  if (text.length > MOST_BYTES) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const nvme = object(field(value, "nvme_smart_health_information_log"));
  const attributes = list(field(field(value, "ata_smart_attributes"), "table")).map(object);
  const raw = (id: number) => {
    const found = attributes.find((it) => it.id === id);
    return count(field(found?.raw, "value"));
  };
  const status = field(field(value, "smart_status"), "passed");
  const passed = typeof status === "boolean" ? status : null;
  const smart: Smart = {
    at,
    passed,
    temperatureCelsius: within(field(field(value, "temperature"), "current"), -100, 300),
    // Some disks count minutes in the high bytes of the attribute: smartctl has taken that into account.
    powerOnHours: count(field(field(value, "power_on_time"), "hours")) ?? raw(POWER_ON),
    wearPercent: within(nvme.percentage_used, 0, 255),
    reallocatedSectors: raw(REALLOCATED) ?? count(field(value, "scsi_grown_defect_list")),
    pendingSectors: raw(PENDING),
    mediaErrors: count(nvme.media_errors),
    warnings: [],
  };
  const tells = attributes.length > 0 || Object.keys(nvme).length > 0 || passed !== null ||
    smart.temperatureCelsius !== null;
  if (!tells) return null;
  smart.warnings = warningsOf(smart, { nvme, attributes });
  return smart;
}

function warningsOf(
  smart: Smart,
  { nvme, attributes }: { nvme: Json; attributes: readonly Json[] },
): string[] {
  const warnings: string[] = [];
  if (smart.passed === false) warnings.push("it says itself that it is failing");
  const critical = count(nvme.critical_warning) ?? 0;
  CRITICAL.forEach((words, bit) => {
    if (critical < 256 && critical >> bit & 1) warnings.push(words);
  });
  const worn = attributes.some((it) => it.when_failed === "now");
  if (worn && smart.passed !== false) warnings.push("a value is below what its maker allows");
  if (smart.pendingSectors) {
    warnings.push(`${smart.pendingSectors} sectors cannot be read at the moment`);
  }
  if (smart.wearPercent !== null && smart.wearPercent >= 100) {
    warnings.push("it has been written to as much as its maker allows for");
  }
  return warnings;
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Json : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, 256) : [];
}

function field(value: unknown, name: string): unknown {
  const from = object(value);
  return Object.hasOwn(from, name) ? from[name] : undefined;
}

function within(value: unknown, least: number, most: number): number | null {
  return typeof value === "number" && value >= least && value <= most ? value : null;
}

function count(value: unknown): number | null {
  const number = within(value, 0, Number.MAX_SAFE_INTEGER);
  return number !== null && Number.isSafeInteger(number) ? number : null;
}
