/**
 * A stock guest that is saved while it is at work, and goes on in another VMM.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { SaveRequest } from "../../hypervisor/vmm/control.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { decodeGuest, encodeGuest } from "../../hypervisor/vmm/snapshot/saved_guest.ts";
import { fork } from "../../hypervisor/vmm/testing/passing_connection.ts";
import { IS_THOROUGH } from "../hostile/thorough.ts";
import { configOf, ForkedGuest } from "./forked_guest.ts";
import { echoesThroughPorts, GuestSockets, talksOverVsock } from "./guest_sockets.ts";
import { RunningGuest } from "./running_guest.ts";
import { boot } from "./stock_guest.ts";

const HOST = "10.97.0.1";
const BRIDGE = "labbr3";
const TAP = "labtap3";
const SECONDS = 1000;
/** As long as the snapshot lies about before anybody needs it, in nanoseconds. */
const LATER = 3n * 3600n * 1_000_000_000n;

async function command(name: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(name, { args }).output();
  assert(success, `${name} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

const copy = (from: string, to: string) => command("cp", "--sparse=always", from, to);

/** Gives the guest work that a restore must not disturb. */
async function prepare(guest: RunningGuest, control: string, plugged: string): Promise<void> {
  const nic = await guest.run("ls /sys/class/net | grep -v lo");
  await guest.run(`ip addr add 10.97.0.2/24 dev ${nic} && ip link set ${nic} up`);
  await guest.run(`ping -c 2 ${HOST}`);
  const device = { disk: { path: plugged, serial: "PLUGGED" } };
  assertEquals((await ask(control, { op: "plug", device })).plugged, "block1");
  await guest.run("n=0; until [ -b /dev/vdb ] || [ $n = 300 ]; do n=$((n+1)); sleep 0.2; done");
  await guest.run(
    "head -c 1M /dev/urandom > /root/block && dd if=/root/block of=/dev/vdb oflag=direct",
  );
  // In the page cache and not yet on the disk: in RAM alone.
  await guest.run("sync; head -c 4M /dev/urandom > /root/noise");
  await guest.run("sha256sum /root/noise /root/block > /root/sums");
  await guest.run(
    "mkdir -p /dev/shm; (i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; sleep 0.05; done) & echo $! > /dev/shm/pid",
  );
}

/** Where commands of a guest are run. */
type Prompt = Pick<RunningGuest, "run">;

/** Writes to memory and disk without end, and says if it does not read what it wrote. */
const LOAD = `(while :; do
  dd if=/dev/urandom of=/dev/shm/load bs=64k count=32;
  cp /dev/shm/load /root/load; sync; sha256sum < /dev/shm/load > /dev/shm/loadsum;
  echo 3 > /proc/sys/vm/drop_caches;
  sha256sum < /root/load | cmp - /dev/shm/loadsum || echo bad >> /dev/shm/bad;
  echo turn >> /dev/shm/turns;
done) > /dev/null 2>&1 & echo $! > /dev/shm/loadpid`.replaceAll("\n", " ");

/** The load has gone on, and was right all the while; it is ended. */
async function loadIsRight(guest: Prompt): Promise<void> {
  const turns = async () => Number(await guest.run("cat /dev/shm/turns | wc -l"));
  const before = await turns();
  while (await turns() < before + 2) await new Promise((resolve) => setTimeout(resolve, 1000));
  assertEquals(await guest.run("cat /dev/shm/bad 2>/dev/null || true"), "");
  // The shell says here that it is gone, and not in the middle of what is asked next.
  await guest.run("kill $(cat /dev/shm/loadpid); wait $(cat /dev/shm/loadpid) || true");
}

const count = async (guest: Prompt) => Number(await guest.run("cat /dev/shm/count"));

/** Has the guest saved, and held for a copy of its disks as they belong to it; what the VMM said of it. */
async function save(
  control: string,
  request: Omit<SaveRequest, "op">,
  disks: readonly string[] = [],
): Promise<Record<string, number>> {
  const hold = disks.length > 0;
  using connection = await ControlConnection.open(control, { op: "save", hold, ...request });
  const said: string[] = [];
  let result: Record<string, number> = {};
  for (let line = await connection.line(); line; line = await connection.line()) {
    said.push(Object.keys(line)[0]);
    if (line.held) {
      for (const disk of disks) await copy(disk, `${disk}.saved`);
      await connection.send('{"op":"go"}\n');
    }
    if (line.error) throw new Error(line.error);
    if (line.saved) result = line;
  }
  assertEquals([said[0], said.at(-1)], ["ok", "saved"]);
  const { saved: _, ...figures } = result;
  console.log(`saved: ${JSON.stringify(figures)}`);
  assertEquals(result.stoodStill, undefined);
  return result;
}

/** Two guests go on from the one at `control`, each with its own change; one of the three runs at a time. */
async function forksTwice(guest: RunningGuest, control: string, disks: string[]): Promise<void> {
  await guest.run("echo common > /dev/shm/who; cat /root/noise > /dev/null");
  const folder = await Deno.makeTempDir();
  const names = ["one", "two"];
  const copyOf = (disk: number, name: string) => `${folder}/${name}.${disk}`;
  using forked = await fork(control, async () => {
    for (const name of names) {
      for (const [i, disk] of disks.entries()) await copy(disk, copyOf(i, name));
    }
  });
  await ask(control, { op: "pause" });
  console.log(
    `paused for ${forked.pausedMs} ms with its disks' copies, ${forked.copiedBytes} copied`,
  );
  const config = configOf(forked);
  for (const [n, name] of names.entries()) {
    await using child = new ForkedGuest(folder, name);
    const tap = `labfork${n}`;
    await command("ip", "tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr", "multi_queue");
    try {
      await child.waits();
      const took = await child.goOn(forked, {
        ...config,
        name,
        disks: config.disks.map((disk) => ({ ...disk, path: copyOf(0, name) })),
        nets: config.nets.map((net) => ({ ...net, tap, mac: `52:54:00:aa:bb:1${n}` })),
        console: { ...config.console, socket: `${folder}/${name}.console` },
        ports: config.ports!.map((port, i) => ({ ...port, socket: `${folder}/${name}.port${i}` })),
        vsock: { ...config.vsock, socket: `${folder}/${name}.vsock` },
        plugged: { block1: { disk: { path: copyOf(1, name), serial: "PLUGGED" } } },
      });
      assertEquals(await child.run("cat /dev/shm/who"), "common");
      await child.run(`echo ${name} > /dev/shm/who; echo ${name} > /root/who; sync`);
      assertEquals(await child.run("cat /dev/shm/who /root/who"), `${name}\n${name}`);
      assertEquals(await child.run("sha256sum -c /root/sums > /dev/null && echo right"), "right");
      const nic = "/sys/class/net/$(ls /sys/class/net | grep -v lo)/address";
      // Its driver has not looked again.
      assertEquals(await child.run(`cat ${nic}`), config.nets[0].mac);
      console.log(`${name}: went on in ${took} ms, ${JSON.stringify(child.memory())}`);
    } finally {
      await child[Symbol.asyncDispose]();
      await command("ip", "link", "del", tap);
    }
  }
  await ask(control, { op: "resume" });
  assertEquals(await guest.run("cat /dev/shm/who; ls /root/who 2>/dev/null || true"), "common");
  await Deno.remove(folder, { recursive: true });
}

/** All that worked before the guest was saved. */
async function works(guest: Prompt): Promise<void> {
  assertEquals(await guest.run("nproc"), "2");
  await guest.run("sha256sum -c /root/sums");
  // From the disks themselves.
  await guest.run("sync; echo 3 > /proc/sys/vm/drop_caches; sha256sum -c /root/sums");
  await guest.run("dd if=/dev/vdb iflag=direct bs=1M count=1 | cmp - /root/block");
  assertMatch(await guest.run(`ping -c 3 -i 0.3 ${HOST}`), / 0% packet loss/);
  const before = await count(guest);
  await guest.run("kill -0 $(cat /dev/shm/pid); taskset -c 0 sleep 1; taskset -c 1 sleep 1");
  assert(await count(guest) > before, "the counter stands still");
}

/** Makes a snapshot one that was taken so much earlier. */
async function age(directory: string, nanoseconds: bigint): Promise<void> {
  const path = `${directory}/state`;
  const guest = decodeGuest(await Deno.readFile(path));
  guest.machine.time.at -= nanoseconds;
  guest.machine.vm.clock.at -= nanoseconds;
  await Deno.writeFile(path, encodeGuest(guest));
}

/** The guest takes it that so much more time has passed than has. */
async function hasTime(guest: RunningGuest): Promise<void> {
  const later = Number(LATER / 1_000_000n);
  const off = Number(await guest.run("date +%s")) * SECONDS - Date.now() - later;
  assert(Math.abs(off) < 10 * SECONDS, `its clock is ${off} ms off`);
}

Deno.test("a guest with two vCPUs is saved, goes on, and goes on again where it was saved", async (t) => {
  const ip = (...args: string[]) => command("ip", ...args);
  await ip("link", "add", BRIDGE, "type", "bridge");
  await ip("addr", "add", `${HOST}/24`, "dev", BRIDGE);
  await ip("link", "set", BRIDGE, "up");
  await ip("tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr", "multi_queue");
  await ip("link", "set", TAP, "master", BRIDGE, "up");
  const folder = await Deno.makeTempDir();
  const directory = `${folder}/snapshot`;
  const plugged = `${folder}/plugged.raw`;
  await Deno.writeFile(plugged, new Uint8Array(8 << 20));
  using sockets = new GuestSockets();
  const control = sockets.path("control");
  let disks: string[];
  let then: number;
  try {
    {
      await using guest = await boot({
        cpus: 2,
        memory: "192M",
        more: [
          ...["--net", `${TAP},mac=52:54:00:aa:bb:03`, "--hotplug-ports", "1"],
          ...["--balloon", "0M", ...sockets.options],
        ],
      });
      disks = [guest.disk, plugged];
      await prepare(guest, control, plugged);
      await echoesThroughPorts(guest, sockets);
      then = await count(guest);
      await guest.run(LOAD);
      const base = `${folder}/base`;
      await t.step("it is saved while it works", async () => {
        const { bytes } = await save(control, { directory: base, track: true });
        assert(bytes > 32 << 20, `${bytes} bytes are less than a system`);
      });
      await t.step("what has changed since is saved, with its disks", async () => {
        await save(control, { directory, base }, disks);
        await Deno.remove(base, { recursive: true });
      });
      await t.step("it was not disturbed", () => loadIsRight(guest));
      await t.step("it goes on as before", () => works(guest));
      // Those of lives_test.ts stand for these.
      if (IS_THOROUGH) {
        await t.step("two go on from it", () => forksTwice(guest, control, disks));
        await t.step("it goes on after that, too", () => works(guest));
      }
      // What it does from here on, the one that was saved never did.
      await guest.run("echo later > /root/later; rm /root/noise; sync");
    }
    for (const disk of disks) await Deno.rename(`${disk}.saved`, disk);
    await age(directory, LATER);
    await using guest = new RunningGuest(["--restore", directory]);
    await t.step("its programs go on", async () => {
      assert(await count(guest) >= then);
      assertEquals(await guest.run("ls /root/later 2>/dev/null || true"), "");
    });
    await t.step("its work is right", () => loadIsRight(guest));
    await t.step("its clock is right, hours later", () => hasTime(guest));
    await t.step("its disks, its card and its CPUs work", () => works(guest));
    await t.step("its ports work", () => echoesThroughPorts(guest, sockets));
    await t.step("its sockets work", () => talksOverVsock(guest, sockets));
    await t.step("it has made new random numbers", async () => {
      const reseeded = "dmesg | grep -c 'reseeded due to virtual machine fork' || true";
      assertEquals(await guest.run(reseeded), "1");
    });
    await t.step("its kernel complains of nothing", async () => {
      const bad = "soft lockup|rcu.*stall|unstable|Call Trace|I/O error|BUG:";
      assertEquals(await guest.run(`dmesg | grep -E '${bad}' || true`), "");
    });
    await guest.type("poweroff\n");
    assertEquals(await guest.ended(), 0, guest.errors);
  } finally {
    for (const name of [TAP, BRIDGE]) await ip("link", "del", name);
  }
});
