import { assertEquals, assertThrows } from "@std/assert";
import { close } from "../sys/files.ts";
import { listenForHost, socketDevices } from "./device_sockets.ts";
import type { GuestConfig } from "./control.ts";

const BARE: GuestConfig = {
  name: "bare",
  kernel: "/k",
  cmdline: "",
  memoryMiB: 128,
  cpus: 1,
  disks: [],
  nets: [],
};

function withFolder(test: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    test(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("a socket that nobody listens at any more is replaced; anything else stays", () => {
  withFolder((folder) => {
    const path = `${folder}/socket`;
    close(listenForHost(path));
    const listener = listenForHost(path);
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
    assertThrows(() => listenForHost(path), Error, "bind");
    close(listener);
    Deno.writeTextFileSync(`${folder}/file`, "keep me");
    assertThrows(() => listenForHost(`${folder}/file`), Error, "bind");
    assertEquals(Deno.readTextFileSync(`${folder}/file`), "keep me");
  });
});

Deno.test("a guest has the devices that are configured, and no other", () => {
  assertEquals(socketDevices(BARE), []);
  assertEquals(socketDevices({ ...BARE, ports: [] }), []);
  withFolder((folder) => {
    const [console, vsock] = socketDevices({
      ...BARE,
      ports: [{ socket: `${folder}/agent` }],
      vsock: { socket: `${folder}/vsock` },
    });
    if (console.kind !== "console" || vsock.kind !== "vsock") throw new Error("other kinds");
    const [{ name, listener }] = console.options.ports;
    assertEquals([console.options.console, name], [undefined, "org.qemu.guest_agent.0"]);
    if (!("listener" in vsock.options)) throw new Error("not over unix sockets");
    assertEquals([vsock.options.cid, vsock.options.path], [3, `${folder}/vsock`]);
    for (const fd of [listener, vsock.options.listener]) close(fd);
  });
});
