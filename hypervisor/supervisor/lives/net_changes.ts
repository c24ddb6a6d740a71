/**
 * Guests' network cards: added, changed, deleted, plugged in and out.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type * as z from "zod";
import { whyNotPlug, whyNotRemove, whyNotUnplug } from "../api/actions.ts";
import { type Guest, MOST_NETS, type NetCreate, type NetUpdate } from "../api/schemas.ts";
import { messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { NetRecord } from "../store/guests.ts";
import {
  type DeviceGround,
  deviceOf,
  plugIn,
  refuseFor,
  replaced,
  takeOut,
  vmmProblem,
} from "./device_ground.ts";
import { type GuestLife, refuse } from "./guest_life.ts";
import { netDevice } from "./run.ts";
import { netConfig } from "./vm_config.ts";

/** What of a card changes while a guest runs. */
const LIVE = ["linkUp", "receiveLimit", "sendLimit"] as const;

/** What is kept of a new card. */
export function netRecord(wish: z.output<typeof NetCreate>): NetRecord {
  const { mac = randomMac(), ...settings } = wish;
  return { id: ulid(), mac, ...settings };
}

/** A random unicast address that no vendor has. */
export function randomMac(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  bytes[0] = 0x52;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

export class NetChanges {
  readonly #ground: DeviceGround;

  constructor(ground: DeviceGround) {
    this.#ground = ground;
  }

  add(guest: string, wish: z.output<typeof NetCreate>): Promise<Guest> {
    return this.#ground.inTurn(guest, (life) => {
      const { record } = life;
      if (record.nets.length >= MOST_NETS) {
        throw problem(
          "too_many_devices",
          `Cannot add a network card: a guest has at most ${MOST_NETS}`,
        );
      }
      return this.#ground.keep(life, { ...record, nets: [...record.nets, netRecord(wish)] });
    });
  }

  update(guest: string, id: string, change: NetUpdate): Promise<Guest> {
    return this.#ground.inTurn(guest, async (life) => {
      refuse("update", life.phase);
      const net = deviceOf(life.record.nets, id);
      // Before anything is told to the guest that could not be kept.
      if (change.mac !== undefined) this.#ground.store.refuseTakenMac(change.mac, id);
      await changeLive(life, id, change);
      return this.#ground.keep(life, {
        ...life.record,
        nets: replaced(life.record.nets, { ...net, ...change }),
      });
    });
  }

  delete(guest: string, id: string): Promise<Guest> {
    return this.#ground.inTurn(guest, (life) => {
      const { record } = life;
      const net = deviceOf(record.nets, id);
      refuseFor(whyNotRemove(deviceOf(life.view().nets, id)), "device_in_use");
      return this.#ground.keep(life, { ...record, nets: record.nets.filter((it) => it !== net) });
    });
  }

  plug(guest: string, id: string): Promise<Guest> {
    const { launcher, inTurn } = this.#ground;
    return inTurn(guest, async (life) => {
      const net = deviceOf(life.record.nets, id);
      refuseFor(whyNotPlug(life.view(), deviceOf(life.view().nets, id)));
      let tap: string;
      try {
        tap = launcher.attach(net, life.process!.run);
      } catch (error) {
        throw problem("device_refused", `Cannot plug the network card in: ${messageOf(error)}`);
      }
      const config = netConfig(net, tap);
      try {
        await plugIn(life, netDevice(net, "port"), (process) => process.plug({ net: config }));
      } catch (error) {
        await launcher.detach([id]);
        throw error;
      }
      return life.tell();
    });
  }

  unplug(guest: string, id: string, options: { force: boolean }): Promise<Guest> {
    return this.#ground.inTurn(guest, (life) => {
      refuseFor(whyNotUnplug(life.view(), deviceOf(life.view().nets, id)));
      return takeOut(life, id, options);
    });
  }
}

async function changeLive(life: GuestLife, id: string, change: NetUpdate) {
  const found = life.isUp ? life.process?.run.find(id) : undefined;
  const live = Object.fromEntries(
    LIVE.filter((key) => change[key] !== undefined).map((key) => [key, change[key]]),
  );
  if (found === undefined || Object.keys(live).length === 0) return;
  try {
    await life.process!.change(found.name, live);
  } catch (error) {
    throw vmmProblem(error, life.record.name);
  }
  life.process!.run.change(id, live);
}
