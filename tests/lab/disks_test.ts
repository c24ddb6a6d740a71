/**
 * What a stock driver sees of disks that are more than a place to write: several queues, discard,
 * zeroing, resizing, read-only, limits, and a host that runs out of room.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { EXIT_CODES } from "../../hypervisor/vmm/control.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { quickGuest } from "../../scripts/setup/quick_guest.ts";
import { kernelOptions } from "./machine_checks.ts";
import { RunningGuest } from "./running_guest.ts";

const MIB = 2 ** 20;

interface Disks {
  guest: RunningGuest;
  socket: string;
  /** Where the images lie. */
  folder: string;
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args }).output();
  assert(success, `${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

function sparse(path: string, mib: number): string {
  Deno.createSync(path).close();
  Deno.truncateSync(path, mib * MIB);
  return path;
}

Deno.test("a stock driver uses all that a disk offers", async (t) => {
  const folder = await Deno.makeTempDir();
  const system = await quickGuest();
  const root = `${folder}/root.raw`;
  await run("cp", "--sparse=always", system.disk, root);
  // A file system that can give blocks back and be gone past, and one that is nearly full.
  await run("mkfs.xfs", "-q", sparse(`${folder}/xfs.img`, 320));
  for (const mount of ["data", "small"]) await Deno.mkdir(`${folder}/${mount}`);
  await run("mount", "-o", "loop", `${folder}/xfs.img`, `${folder}/data`);
  await run("mount", "-t", "tmpfs", "-o", "size=2M", "small", `${folder}/small`);
  const socket = `${folder}/control`;
  try {
    await using guest = await RunningGuest.booted([
      ...kernelOptions(system.kernel, "pvh"),
      ...["--initrd", system.initrd, "--cmdline", system.cmdline],
      ...["--cpus", "2", "--memory", "256M", "--control", socket, "--disk", root],
      ...["--disk", `${sparse(`${folder}/data/b.raw`, 64)},cache=direct,serial=SECOND`],
      ...["--disk", `${sparse(`${folder}/c.raw`, 8)},readonly`],
      ...["--disk", `${sparse(`${folder}/d.raw`, 64)},bytes=1000000,bytes-burst=1000000,queues=1`],
      ...["--disk", sparse(`${folder}/small/e.raw`, 64)],
    ]);
    const disks = { guest, socket, folder };
    await t.step("it has a queue for each CPU, and knows its blocks", () => hasQueues(disks));
    await t.step("what is written past the page cache is in the file", () => writesDirectly(disks));
    await t.step("blocks are given back and zeroed without writing", () => givesBack(disks));
    await t.step("it turns the write cache off", () => writesThrough(disks));
    await t.step("it grows while it is used", () => grows(disks));
    await t.step("it cannot write what is read-only", () => readsOnly(disks));
    await t.step("it is no faster than its limit", () => isLimited(disks));
    await t.step("a host without room stops the guest until there is some", () => waits(disks));
    await guest.type("echo -1 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger\n");
    assertEquals(await guest.ended(), EXIT_CODES.reboot);
  } finally {
    // Lazily: the kernel ends a process's io_uring, and closes its files, after the process.
    for (const mount of ["data", "small"]) await run("umount", "--lazy", `${folder}/${mount}`);
    await Deno.remove(folder, { recursive: true });
  }
});

// deno-lint-ignore no-explicit-any -- what a device tells of itself
async function report({ socket }: Disks, name: string): Promise<any> {
  const answer = await ask(socket, { op: "devices" });
  assert(answer.ok, JSON.stringify(answer));
  return answer.devices[name];
}

async function change({ socket }: Disks, device: string, change: unknown): Promise<void> {
  const answer = await ask(socket, { op: "change", device, change });
  assert(answer.ok, JSON.stringify(answer));
}

async function hasQueues(disks: Disks): Promise<void> {
  const { guest } = disks;
  assertEquals(
    await guest.run("cd /sys/block; ls vdb/mq vdd/mq | tr '\\n' ' '"),
    "vdb/mq: 0 1  vdd/mq: 0",
  );
  assertEquals(await guest.run("cat /sys/block/vdb/serial"), "SECOND");
  const queue = (name: string) => guest.run(`cat /sys/block/vdb/queue/${name}`);
  assertEquals(await queue("logical_block_size"), "512");
  assertEquals(await queue("physical_block_size"), "4096");
  const { engine, cache, queues } = await report(disks, "block1");
  assertEquals({ engine, cache, queues }, { engine: "io_uring", cache: "direct", queues: 2 });
}

/** What part of the second disk's image holds. */
function content({ folder }: Disks, part: { from: number; to: number }): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(`${folder}/data/b.raw`).slice(part.from * MIB, part.to * MIB);
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function writesDirectly(disks: Disks): Promise<void> {
  const { guest } = disks;
  const sum = await guest.run("head -c 4M /dev/urandom | tee /root/noise | sha256sum");
  await guest.run("dd if=/root/noise of=/dev/vdb bs=1M oflag=direct 2>/dev/null");
  // Single sectors, which are smaller than what the file system writes at once.
  await guest.run("dd if=/root/noise of=/dev/vdb bs=512 count=64 oflag=direct 2>/dev/null");
  assertEquals(await sha256(content(disks, { from: 0, to: 4 })), sum.split(" ")[0]);
  assertEquals(
    await guest.run("dd if=/dev/vdb bs=1M count=4 iflag=direct 2>/dev/null | sha256sum"),
    sum,
  );
}

async function givesBack(disks: Disks): Promise<void> {
  const { guest, folder } = disks;
  const blocks = () => Deno.statSync(`${folder}/data/b.raw`).blocks! * 512;
  const before = blocks();
  await guest.run("blkdiscard -o 0 -l 2M /dev/vdb");
  assert(blocks() <= before - 2 * MIB, `${blocks()} bytes are taken, of ${before} before`);
  const { writes } = await report(disks, "block1");
  await guest.run("blkdiscard -z -o 2M -l 1M /dev/vdb");
  const after = await report(disks, "block1");
  assertEquals([after.writes, after.discards, after.errors], [writes, 2, 0]);
  const bytes = content(disks, { from: 0, to: 4 });
  assert(bytes.subarray(0, 3 * MIB).every((byte) => byte === 0), "all of it is zeros");
  assert(bytes.subarray(3 * MIB).some((byte) => byte !== 0), "and no more than that");
}

async function writesThrough(disks: Disks): Promise<void> {
  const { guest } = disks;
  assertEquals(await guest.run("cat /sys/block/vdb/queue/write_cache"), "write back");
  await guest.run("echo 'write through' > /sys/block/vdb/cache_type");
  assertEquals((await report(disks, "block1")).writeCache, false);
  await guest.run("dd if=/root/noise of=/dev/vdb bs=4k count=8 oflag=direct 2>/dev/null");
}

async function grows(disks: Disks): Promise<void> {
  const { guest } = disks;
  await change(disks, "block1", { sizeBytes: 96 * MIB });
  await guest.run(
    `until [ $(blockdev --getsize64 /dev/vdb) = ${96 * MIB} ]; do sleep 0.2; done`,
  );
  await guest.run("dd if=/root/noise of=/dev/vdb bs=1M seek=92 oflag=direct 2>/dev/null");
  assertEquals(
    await sha256(content(disks, { from: 92, to: 96 })),
    (await guest.run("sha256sum < /root/noise")).split(" ")[0],
  );
}

async function readsOnly({ guest }: Disks): Promise<void> {
  assertEquals(await guest.run("cat /sys/block/vdc/ro"), "1");
  assertMatch(
    await guest.run("dd if=/root/noise of=/dev/vdc bs=4k count=1 2>&1 || true"),
    /not permitted|Read-only/,
  );
}

async function isLimited(disks: Disks): Promise<void> {
  const { guest } = disks;
  // The first million is the burst; udev has perhaps used it up.
  const start = performance.now();
  await guest.run("dd if=/dev/vdd of=/dev/null bs=256k count=16 iflag=direct 2>/dev/null");
  const seconds = (performance.now() - start) / 1000;
  assert(seconds > (4 * MIB - 1e6) / 1e6 * 0.95, `4 MiB in ${seconds} s`);
  assert((await report(disks, "block3")).rateLimitWaits > 0);
  await change(disks, "block3", { rateLimit: null });
  const { rateLimitWaits } = await report(disks, "block3");
  await guest.run("dd if=/dev/vdd of=/dev/null bs=256k count=16 iflag=direct 2>/dev/null");
  assertEquals((await report(disks, "block3")).rateLimitWaits, rateLimitWaits);
}

async function waits(disks: Disks): Promise<void> {
  const { guest, folder, socket } = disks;
  using events = await ControlConnection.open(socket, { op: "events" });
  const next = async (name: string) => {
    for (;;) {
      const line = await events.line();
      assert(line !== undefined, `the VMM ended before "${name}"`);
      if (line.event === name) return line;
    }
  };
  const writing = guest.run("dd if=/root/noise of=/dev/vde bs=1M oflag=direct 2>&1; echo rc=$?");
  const { reason } = await next("paused");
  assertMatch(reason, /e\.raw" has no room on the host/);
  assertEquals((await ask(socket, { op: "status" })).status.pausedFor, reason);
  assert((await report(disks, "block4")).waitingForRoom > 0);
  await run("mount", "-o", "remount,size=16M", `${folder}/small`);
  await next("resumed");
  assertMatch(await writing, /rc=0/);
  const written = Deno.readFileSync(`${folder}/small/e.raw`).slice(0, 4 * MIB);
  const sum = await guest.run("sha256sum < /root/noise");
  assertEquals(await sha256(written), sum.split(" ")[0]);
  assertEquals((await report(disks, "block4")).errors, 0);
}
