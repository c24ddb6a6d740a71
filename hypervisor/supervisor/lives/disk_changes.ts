/**
 * Guests' disks: added, changed, deleted, plugged in and out.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type * as z from "zod";
import { whyNotPlug, whyNotRemove, whyNotUnplug } from "../api/actions.ts";
import {
  type DiskCreate,
  type DiskUpdate,
  freeDiskName,
  type Guest,
  MOST_DISKS,
} from "../api/schemas.ts";
import { problem } from "../problem.ts";
import { serialOf } from "../store/devices.ts";
import type { DiskRecord } from "../store/guests.ts";
import {
  type DeviceGround,
  deviceOf,
  plugIn,
  refuseFor,
  replaced,
  takeOut,
  vmmProblem,
} from "./device_ground.ts";
import type { DiskRequest } from "./disks.ts";
import { type GuestLife, refuse } from "./guest_life.ts";
import { refuseForeign } from "./life_ground.ts";
import { diskDevice } from "./run.ts";
import { diskConfig } from "./vm_config.ts";

const MIB = 1024 * 1024;

type Wish = z.output<typeof DiskCreate>;

/** A new disk's id, and what its file is made from; `field` is where the wish stands in the body. */
export function diskRequest(
  { images }: Pick<DeviceGround, "images">,
  wish: Wish,
  field: string,
): { id: string; request: DiskRequest } {
  const id = ulid();
  const { image, sizeMiB, store } = wish;
  return {
    id,
    request: {
      file: `${id}.img`,
      store,
      image: image === null ? null : { name: image, path: images.require("disk", image) },
      sizeMiB,
      sizeField: `${field}sizeMiB`,
    },
  };
}

/** What is kept of a new disk. */
export function diskRecord(
  wish: Wish,
  made: { id: string; name: string; file: string; sizeMiB: number },
): DiskRecord {
  const { readonly, cache, writeCache, rateLimit, image, store } = wish;
  const serial = serialOf(made.id);
  return { ...made, serial, image, store, readonly, cache, writeCache, rateLimit };
}

export class DiskChanges {
  readonly #ground: DeviceGround;

  constructor(ground: DeviceGround) {
    this.#ground = ground;
  }

  async add(guest: string, wish: Wish): Promise<Guest> {
    const { disks, inTurn, keep } = this.#ground;
    const owner = this.#ground.life(guest).record;
    refuseMore(owner.disks, wish.name);
    refuseForeign(disks, { ...owner, disks: [wish] }, "Cannot add a disk to");
    const { id, request } = diskRequest(this.#ground, wish, "");
    // Not in its turn: a copy may take long, and whatever else changes need not wait.
    const { sizeMiB, appear, ...made } = await disks.prepare(owner, request);
    try {
      const answer = await inTurn(guest, (life) => {
        const { record } = life;
        refuseMore(record.disks, wish.name);
        const name = wish.name ?? freeDiskName(record.disks);
        const disk = diskRecord(wish, { id, name, file: request.file, sizeMiB });
        appear();
        return keep(life, { ...record, disks: [...record.disks, disk] });
      });
      made.keep();
      return answer;
    } catch (error) {
      made.drop();
      throw error;
    }
  }

  update(guest: string, id: string, change: DiskUpdate): Promise<Guest> {
    return this.#ground.inTurn(guest, async (life) => {
      refuse("update", life.phase);
      const disk = deviceOf(life.record.disks, id);
      const next: DiskRecord = { ...disk, ...change };
      if (next.name !== disk.name) refuseTakenName(life.record.disks, next.name);
      if (next.sizeMiB !== disk.sizeMiB) await this.#grow(life, disk, next.sizeMiB);
      if (change.rateLimit !== undefined) await limit(life, id, change.rateLimit);
      return this.#ground.keep(life, {
        ...life.record,
        disks: replaced(life.record.disks, next),
      });
    });
  }

  /** First the file, which a power cut may leave larger than what is kept says, and then who uses it. */
  async #grow(life: GuestLife, disk: DiskRecord, sizeMiB: number) {
    if (sizeMiB < disk.sizeMiB) {
      throw problem(
        "disk_too_small",
        `Cannot make the disk "${disk.name}" ${sizeMiB} MiB small: it has ${disk.sizeMiB} MiB, and ` +
          "disks do not shrink",
        { fields: [{ path: "sizeMiB", message: `must be at least ${disk.sizeMiB}` }] },
      );
    }
    const found = life.isUp ? life.process?.run.find(disk.id) : undefined;
    if (found?.device.kind === "disk" && found.device.settings.readonly) {
      throw problem(
        "wrong_state",
        `Cannot grow the disk "${disk.name}": the running guest has it read-only. Stop it first`,
      );
    }
    refuseForeign(this.#ground.disks, { ...life.record, disks: [disk] }, "Cannot grow a disk of");
    await this.#ground.disks.grow(life.record, disk, sizeMiB);
    if (found === undefined) return;
    try {
      await life.process!.change(found.name, { sizeBytes: sizeMiB * MIB });
    } catch (error) {
      throw vmmProblem(error, life.record.name);
    }
  }

  delete(guest: string, id: string): Promise<Guest> {
    return this.#ground.inTurn(guest, (life) => {
      const { record } = life;
      const disk = deviceOf(record.disks, id);
      refuseFor(whyNotRemove(deviceOf(life.view().disks, id)), "disk_in_use");
      // The row first: without it the file belongs to nobody, and is swept.
      const left = { ...record, disks: record.disks.filter((it) => it !== disk) };
      return this.#ground.disks.without(guest, [disk], () => this.#ground.keep(life, left));
    });
  }

  plug(guest: string, id: string): Promise<Guest> {
    const { disks, inTurn } = this.#ground;
    return inTurn(guest, async (life) => {
      const disk = deviceOf(life.record.disks, id);
      refuseFor(whyNotPlug(life.view(), deviceOf(life.view().disks, id)));
      disks.check(life.record, disk);
      const config = diskConfig(disk, disks.path(guest, disk));
      await plugIn(life, diskDevice(disk, "port"), (process) => process.plug({ disk: config }));
      return life.tell();
    });
  }

  unplug(guest: string, id: string, options: { force: boolean }): Promise<Guest> {
    return this.#ground.inTurn(guest, (life) => {
      refuseFor(whyNotUnplug(life.view(), deviceOf(life.view().disks, id)));
      return takeOut(life, id, options);
    });
  }
}

async function limit(life: GuestLife, id: string, rateLimit: DiskRecord["rateLimit"]) {
  const found = life.isUp ? life.process?.run.find(id) : undefined;
  if (found === undefined) return;
  try {
    await life.process!.change(found.name, { rateLimit });
  } catch (error) {
    throw vmmProblem(error, life.record.name);
  }
  life.process!.run.change(id, { rateLimit });
}

function refuseMore(disks: readonly DiskRecord[], name: string | undefined) {
  if (disks.length >= MOST_DISKS) {
    throw problem("too_many_devices", `Cannot add a disk: a guest has at most ${MOST_DISKS}`);
  }
  if (name !== undefined) refuseTakenName(disks, name);
}

function refuseTakenName(disks: readonly DiskRecord[], name: string) {
  if (disks.every((it) => it.name !== name)) return;
  throw problem(
    "name_taken",
    `Cannot name a disk "${name}": another of the guest's has this name`,
    {
      fields: [{ path: "name", message: "another disk of this guest has this name" }],
    },
  );
}
