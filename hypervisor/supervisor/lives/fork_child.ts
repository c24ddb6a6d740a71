/**
 * What a guest is that is made out of another.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type { GuestRecord } from "../store/guests.ts";
import { randomMac } from "./net_changes.ts";
import type { RunFile } from "./run.ts";

/** A guest with ids, files and addresses of its own; what it goes on with, where it goes on. */
export interface Child {
  record: GuestRecord;
  run: RunFile | null;
}

/**
 * A child of a guest that was `record`, and ran with `run` where the child goes on from its memory. Its
 * disks keep their serial numbers, by which its system may know them, and are in the parent's order.
 *
 * Where it goes on, its cards' links are down: its system has its parent's MAC and IP addresses until its
 * driver resets the card, and would take them from its parent on the same network. Who has seen to that
 * sets the links up.
 */
export function childOf(parent: Child): Child {
  const { run } = parent;
  const ids = new Map(
    [...parent.record.disks, ...parent.record.nets].map(({ id }) => [id, ulid()]),
  );
  const idOf = (id: string) => ids.get(id) ?? id;
  const nets = parent.record.nets.map((net) => ({
    ...net,
    ...{ id: idOf(net.id), mac: randomMac() },
    linkUp: net.linkUp && run === null,
  }));
  const record: GuestRecord = {
    ...structuredClone(parent.record),
    ...{ id: ulid(), nets, autostart: false, createdAt: new Date().toISOString(), error: null },
    disks: parent.record.disks.map((disk) => ({
      ...disk,
      ...{ id: idOf(disk.id), file: `${idOf(disk.id)}.img` },
    })),
  };
  return { record, run: run && runOf(run, { idOf, nets }) };
}

function runOf(
  run: RunFile,
  { idOf, nets }: { idOf: (id: string) => string; nets: GuestRecord["nets"] },
): RunFile {
  const devices = Object.entries(structuredClone(run.devices)).map(([name, device]) => {
    const id = idOf(device.id);
    const net = nets.find((it) => it.id === id);
    if (device.kind === "disk" || net === undefined) return [name, { ...device, id }];
    const settings = { ...device.settings, mac: net.mac, linkUp: false };
    return [name, { ...device, id, settings }];
  });
  const { started, frozen } = run;
  return { started: structuredClone(started), devices: Object.fromEntries(devices), frozen };
}
