/**
 * What is to be kept of a guest once it is changed.
 *
 * @module
 */
import { type GuestUpdate, machineIssues } from "../api/schemas.ts";
import { changedCloudInit } from "../cloud_init/settings.ts";
import { problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";

/** What `change` makes of a guest; throws where that does not fit together. */
export function changedGuest(guest: GuestRecord, change: GuestUpdate): GuestRecord {
  const { cpu, memory, cloudInit, ...rest } = change;
  const doing = `Cannot change "${change.name ?? guest.name}"`;
  const record = {
    ...guest,
    ...rest,
    cpu: { ...guest.cpu, ...cpu },
    memory: { ...guest.memory, ...memory },
    cloudInit: changedCloudInit(guest.cloudInit, cloudInit, doing),
  };
  const fields = machineIssues(record);
  if (fields.length === 0) return record;
  const listed = fields.map(({ path, message }) => `${path}: ${message}`).join("; ");
  throw problem("invalid_body", `${doing}: ${listed}`, { fields });
}
