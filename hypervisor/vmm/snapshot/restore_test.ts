import { assertEquals } from "@std/assert";
import { parseConfig } from "../config/guest.ts";
import { differs } from "./restore.ts";
import { CONFIG } from "./testing/saved_guest.ts";

const MACHINE = {
  ...CONFIG,
  disks: [{ path: "/disk", serial: "1", queues: 2 }, { path: "/two", readonly: true }],
  nets: [{ tap: "tap0", mac: "52:54:00:12:34:56" }],
  memory: { hotplugMiB: 256 },
  balloon: {},
  console: { socket: "/hvc0" },
  ports: [{ socket: "/agent" }],
  vsock: { socket: "/vsock", cid: 5 },
};
const config = (change: Record<string, unknown> = {}) => parseConfig({ ...MACHINE, ...change });

Deno.test("what devices stand on may differ, and what a running guest does not know of", () => {
  const [one, two] = MACHINE.disks;
  const same = [
    { name: "copy", kernel: "/other", cmdline: "x", cpuAffinity: [[0], [1]] },
    { disks: [{ ...one, path: "/copy", cache: "direct" }, { ...two, path: "/copy2" }] },
    { nets: [{ ...MACHINE.nets[0], tap: "tap1", sendLimit: { bytesPerSecond: 5 } }] },
    { console: { socket: "/c2" }, ports: [{ socket: "/a2" }] },
    { vsock: { socket: "/v2", cid: 6 } },
    { memory: { hugePages: "none", hotplugMiB: 256 } },
    { balloon: { targetMiB: 5 } },
  ];
  for (const change of same) assertEquals(differs(config(), config(change)), undefined);
});

Deno.test("another machine is told by the field that makes it one", () => {
  const others: Record<string, unknown> = {
    cpus: 1,
    memoryMiB: 256,
    cpu: { model: "x86-64-v2" },
    disks: MACHINE.disks.slice(1),
    nets: [{ ...MACHINE.nets[0], mac: "52:54:00:12:34:57" }],
    memory: { hotplugMiB: 512 },
    balloon: undefined,
    console: undefined,
    ports: [{ socket: "/agent", name: "other" }],
    vsock: undefined,
    hotplugPorts: 1,
  };
  for (const [key, value] of Object.entries(others)) {
    assertEquals(differs(config(), config({ [key]: value })), key);
  }
  const disk = { ...MACHINE.disks[0], serial: "2" };
  assertEquals(differs(config(), config({ disks: [disk, MACHINE.disks[1]] })), "disks");
});
