import { assertEquals, assertThrows } from "@std/assert";
import { close } from "../../sys/files.ts";
import { ConfigError } from "../config/fields.ts";
import { parseConfig } from "../config/guest.ts";
import { Folder } from "../testing/vmm_process.ts";
import { NewSnapshot } from "./directory.ts";
import { differs, restoreFrom } from "./restore.ts";
import { encodeGuest } from "./saved_guest.ts";
import { CONFIG, savedGuest } from "./testing/saved_guest.ts";

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

Deno.test("with a configuration, nothing is opened that it does not say", () => {
  using folder = new Folder();
  const path = `${folder.path}/one`;
  const snapshot = new NewSnapshot(path, 128 << 20);
  const guest = savedGuest();
  snapshot.writeState(encodeGuest({ ...guest, memory: { ...guest.memory, length: 128 << 20 } }));
  close(snapshot.appear());
  const from = (config?: unknown) => {
    const { config: used, restore } = restoreFrom(path, { config, identity: "new" });
    if ("memoryFd" in restore.snapshot) close(restore.snapshot.memoryFd);
    return [used.disks[0].path, restore.snapshot.saved.plugged[0].device];
  };
  assertEquals(from(), ["/disk", { disk: { path: "/other" } }]);
  const disks = [{ path: "/mine", serial: "1" }];
  const block1 = { disk: { path: "/mine2" } };
  assertEquals(from({ ...CONFIG, disks, plugged: { block1 } }), ["/mine", block1]);
  const refused = (config: unknown, why: string) =>
    assertThrows(() => from(config), ConfigError, why);
  refused({ ...CONFIG, disks }, 'Cannot restore "block1": "plugged" does not say what it is now');
  refused({ ...CONFIG, plugged: { block1, net7: {} } }, 'Cannot restore "net7"');
  refused({ ...CONFIG, cpus: 1, plugged: { block1 } }, "cpus is another than it was");
  refused([], "the configuration");
});

Deno.test("a copy may have other addresses, and what is said of its devices counts", () => {
  using folder = new Folder();
  const path = `${folder.path}/one`;
  const snapshot = new NewSnapshot(path, 128 << 20);
  const guest = savedGuest();
  const nets = [{ tap: "tap0", mac: "52:54:00:00:00:01" }];
  snapshot.writeState(encodeGuest({
    ...{ ...guest, config: { ...guest.config, nets }, plugged: [] },
    settings: { ...guest.settings, net0: { linkUp: true } },
    memory: { ...guest.memory, length: 128 << 20 },
  }));
  close(snapshot.appear());
  const config = {
    ...guest.config,
    nets: [{ tap: "tap1", mac: "52:54:00:00:00:02", linkUp: false }],
  };
  const { restore } = restoreFrom(path, { config, identity: "new" });
  if ("memoryFd" in restore.snapshot) close(restore.snapshot.memoryFd);
  assertEquals(restore.snapshot.saved.settings.net0, { linkUp: false });
  assertThrows(
    () => restoreFrom(path, { config, identity: "same" }),
    ConfigError,
    "nets is another than it was",
  );
});
