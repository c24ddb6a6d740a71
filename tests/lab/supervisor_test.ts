/**
 * The supervisor with real guests: disks on XFS, a bridge, control groups, and the VMM as the appliance
 * runs it.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { hostMemoryMiB } from "../../hypervisor/supervisor/host.ts";
import { fileStream } from "../../hypervisor/supervisor/images/file_stream.ts";
import { BridgedTaps, tapName } from "../../hypervisor/supervisor/network.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { isLocked } from "../../hypervisor/sys/flock.ts";
import { GUEST_LOGIN, guestSystem } from "../../scripts/setup/guests.ts";
import { BRIDGE, Ground } from "./ground.ts";
import { VMM } from "./running_guest.ts";

const PATIENCE_MS = 240_000;

/** A guest's console. */
class Terminal {
  output = "";
  #searched = 0;
  #more = Promise.withResolvers<void>();
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      this.output += new TextDecoder().decode(data);
      this.#more.resolve();
      this.#more = Promise.withResolvers();
    };
  }

  async expect(pattern: RegExp): Promise<RegExpExecArray> {
    const timer = AbortSignal.timeout(PATIENCE_MS);
    while (true) {
      const match = pattern.exec(this.output.slice(this.#searched));
      if (match !== null) {
        this.#searched += match.index + match[0].length;
        return match;
      }
      if (timer.aborted) throw new Error(`The guest did not write ${pattern}:\n${this.output}`);
      let wake: ReturnType<typeof setTimeout>;
      await Promise.race([this.#more.promise, new Promise((go) => wake = setTimeout(go, 1000))])
        .finally(() => clearTimeout(wake));
    }
  }

  type(text: string) {
    this.#socket.send(new TextEncoder().encode(text));
  }

  async close() {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    this.#socket.close();
    await closed;
  }
}

Deno.test("a guest made through the API boots, outlives its supervisor, and leaves nothing", async () => {
  const system = await guestSystem({ suite: "trixie", flavour: "cloud" });
  await using ground = await Ground.lay();
  await using host = await TestHost.start({
    parent: ground.path,
    realNetwork: new BridgedTaps({ bridge: BRIDGE }),
    command: vmmCommand(VMM),
    memoryMiB: hostMemoryMiB,
  });
  const images = [
    { kind: "kernel", path: system.kernel },
    { kind: "initrd", path: system.initrd },
    { kind: "disk", path: system.disk },
  ] as const;
  for (const { kind, path } of images) {
    await host.supervisor.images.put({ kind, name: kind }, fileStream(await Deno.open(path)));
  }

  const before = ground.used();
  const { client } = host.local;
  const guest = await client.call("createGuest", {
    body: {
      name: "web",
      kernel: "kernel",
      initrd: "initrd",
      cmdline: system.cmdline,
      memoryMiB: 256,
      disks: [{ image: "disk" }],
    },
  });
  assert(ground.used() - before < 16 * 1024 * 1024, "the disk shares its image's blocks");

  const { id } = guest;
  const tap = tapName(guest.nets[0].id);
  const started = await host.start(id);
  assertEquals(started.state, "running");
  const { pid } = host.processOf(id);
  const group = `/sys/fs/cgroup/denovisor/${id}`;
  assertEquals(Deno.readTextFileSync(`${group}/cgroup.procs`).trim(), String(pid));
  assertMatch(Deno.readLinkSync(`/sys/class/net/${tap}/master`), /\/labbr7$/);
  const disk = host.diskFile(guest);
  assert(isLocked(disk), "a running guest's disk is not for another");

  const first = new Terminal(host.local.connect("guestConsole", { id }));
  await first.expect(/login: /);
  first.type(`${GUEST_LOGIN.user}\n`);
  await first.expect(/assword: /);
  first.type(`${GUEST_LOGIN.password}\n`);
  await first.expect(/[#$] $/);
  first.type("echo mem''ory > /tmp/note; uname -r\n");
  await first.expect(/6\.12\./);
  await first.close();

  await host.down();
  await host.up();
  assertEquals(await host.reaches(id, "running"), started);
  const second = new Terminal(host.local.connect("guestConsole", { id }));
  await second.expect(/6\.12\./);
  second.type("cat /tmp/note\n");
  await second.expect(/memory/);
  await second.close();

  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id } });
  assertEquals((await stopped).error, null);
  host.assertNothingLeft();
  assertEquals(isLocked(disk), false);
  for (const path of [group, `/sys/class/net/${tap}`]) {
    const left = await Deno.stat(path).then(() => true, () => false);
    assertEquals(left, false, path);
  }

  // A kernel that is none: the VMM's own words, and nothing left.
  await host.supervisor.images.put(
    { kind: "kernel", name: "noise" },
    ReadableStream.from([crypto.getRandomValues(new Uint8Array(60_000))]),
  );
  const params = { id };
  await host.local.client.call("updateGuest", { params, body: { kernel: "noise" } });
  const refused = await host.start(id).catch((error) => error);
  assertEquals(refused.problem.code, "start_failed");
  assertMatch(refused.message, /^Cannot start "web": Cannot boot ".*": it is not a bzImage/);
  assertEquals((await host.get(id)).state, "failed");
  host.assertNothingLeft();
});
