/** Disks of a configuration. @module */
import type { DiskConfig } from "../control.ts";
import { flag, optionalText, record, refuse, text } from "./fields.ts";

const MAX_SERIAL = 20;

export function disk(value: unknown): DiskConfig {
  const d = record(value, "a disk", ["path", "readonly", "serial"]);
  const serial = optionalText(d.serial, "a disk's serial number");
  if (serial !== undefined && (serial.length > MAX_SERIAL || /[^\x20-\x7e]/.test(serial))) {
    refuse("the disk serial number", serial, `it must be at most ${MAX_SERIAL} ASCII characters`);
  }
  return {
    path: text(d.path, "a disk's path"),
    readonly: flag(d.readonly, "a disk's readonly"),
    serial,
  };
}
