/**
 * What a guest is that is made out of another.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import { ofChild } from "../cloud_init/settings.ts";
import type { ForkNetwork } from "../api/schemas.ts";
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
 * Where it goes on, its system has its parent's MAC and IP addresses until its driver resets the card, and
 * would take them from its parent on the same network. So cards go on with their links down, unless `network`
 * is "up". Those that are to be replugged are kept as they will be then: see {@linkcode replugged}.
 */
export function childOf(parent: Child, { network }: { network?: ForkNetwork } = {}): Child {
  const { run } = parent;
  const isUp = (id: string) =>
    run === null || network === "up" || (network !== "down" && isInPort(run, id));
  const ids = new Map(
    [...parent.record.disks, ...parent.record.nets].map(({ id }) => [id, ulid()]),
  );
  const idOf = (id: string) => ids.get(id) ?? id;
  const nets = parent.record.nets.map((net) => ({
    ...net,
    ...{ id: idOf(net.id), mac: randomMac() },
    linkUp: net.linkUp && isUp(net.id),
  }));
  const cloudInit = ofChild({
    kept: parent.record.cloudInit,
    ran: run?.started.cloudInit ?? null,
  });
  const record: GuestRecord = {
    ...structuredClone(parent.record),
    cloudInit: cloudInit.kept,
    ...{ id: ulid(), nets, autostart: false, startOrder: null, error: null },
    createdAt: new Date().toISOString(),
    disks: parent.record.disks.map((disk) => ({
      ...disk,
      ...{ id: idOf(disk.id), file: `${idOf(disk.id)}.img` },
    })),
  };
  const goesOn = run && runOf(run, { idOf, nets, isUp: network === "up" });
  if (goesOn !== null) goesOn.started.cloudInit = cloudInit.ran;
  return { record, run: goesOn };
}

/** The child once it has its name, which it goes on with, too. */
export function named({ record, run }: Child, name: string): Child {
  const seed = run?.started.cloudInit ?? null;
  if (seed === null) return { record: { ...record, name }, run };
  const started = { ...run!.started, cloudInit: { ...seed, hostname: name } };
  return { record: { ...record, name }, run: { ...run!, started } };
}

function isInPort({ devices }: RunFile, id: string): boolean {
  return Object.values(devices).some((device) => device.id === id && device.at === "port");
}

/** The cards of a guest that can be replugged while it runs. */
export function replugged({ record, run }: Child): GuestRecord["nets"] {
  return run === null ? [] : record.nets.filter(({ id }) => isInPort(run, id));
}

/** Why not all cards with a link can be replugged in guests that go on; null where they can. */
export function whyNotReplug({ record, run }: Child): string | null {
  if (run === null) return null;
  const fixed = Object.values(run.devices).filter((device) =>
    device.kind === "net" && device.at === "boot" && device.settings.linkUp
  );
  if (fixed.length === 0) return null;
  return `Cannot replug the network cards of new guests of "${record.name}": it has ` +
    `${fixed.map(({ settings }) => "mac" in settings ? settings.mac : "").join(", ")} since its ` +
    "start, and not in a hot-plug port";
}

interface ChildRun {
  idOf: (id: string) => string;
  nets: GuestRecord["nets"];
  /** Whether links are as they were. */
  isUp: boolean;
}

function runOf(run: RunFile, { idOf, nets, isUp }: ChildRun): RunFile {
  const devices = Object.entries(structuredClone(run.devices)).map(([name, device]) => {
    const id = idOf(device.id);
    const net = nets.find((it) => it.id === id);
    if (device.kind === "disk" || net === undefined) return [name, { ...device, id }];
    const linkUp = isUp && device.settings.linkUp;
    const settings = { ...device.settings, mac: net.mac, linkUp };
    return [name, { ...device, id, settings }];
  });
  const { started, frozen } = run;
  return { started: structuredClone(started), devices: Object.fromEntries(devices), frozen };
}
