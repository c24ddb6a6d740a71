/**
 * Makes a guest as it was asked for.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type * as z from "zod";
import { newCloudInit } from "../cloud_init/settings.ts";
import { freeDiskName, type GuestCreate } from "../api/schemas.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { DeviceGround } from "./device_ground.ts";
import { diskRecord, diskRequest } from "./disk_changes.ts";
import type { MemoryBudget } from "./memory_budget.ts";
import { netRecord } from "./net_changes.ts";

/** Makes the disks of a new guest; what is to be kept of it. */
export async function newGuest(
  { store, images, disks, budget }:
    & Pick<DeviceGround, "store" | "images" | "disks">
    & { budget: MemoryBudget },
  body: z.output<typeof GuestCreate>,
): Promise<GuestRecord> {
  const id = ulid();
  store.refuseTakenName(body.name, id);
  budget.refuseTooMuch(body);
  images.require("kernel", body.kernel);
  if (body.initrd !== null) images.require("initrd", body.initrd);
  const nets = body.nets.map(netRecord);
  nets.forEach(({ mac, id }) => store.refuseTakenMac(mac, id));
  const cloudInit = newCloudInit(body.cloudInit, `Cannot create "${body.name}"`);
  const made = body.disks.map((wish, i) => diskRequest({ images }, wish, `disks.${i}.`));
  const sizes = await disks.create({ id, name: body.name }, made.map(({ request }) => request));
  const named: GuestRecord["disks"] = [];
  body.disks.forEach((wish, i) => {
    const { id, request: { file } } = made[i];
    // Those that come later may have chosen their names.
    const name = wish.name ?? freeDiskName([...named, ...body.disks.slice(i + 1)]);
    named.push(diskRecord(wish, { id, name, file, sizeMiB: sizes[i] }));
  });
  return {
    ...body,
    id,
    disks: named,
    nets,
    cloudInit,
    createdAt: new Date().toISOString(),
    error: null,
  };
}
