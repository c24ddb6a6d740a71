import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { TestRam } from "../../hypervisor/devices/virtio/testing/ram.ts";
import { threadCpus } from "../../hypervisor/sys/affinity.ts";
import { EXIT_CODES } from "../../hypervisor/vmm/control.ts";
import { ask } from "../../hypervisor/vmm/testing/control_connection.ts";
import { tinyKernel } from "../../hypervisor/vmm/testing/tiny_kernel.ts";
import { Folder, runVmm } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { quickGuest } from "../../scripts/setup/quick_guest.ts";
import { RunningGuest } from "./running_guest.ts";

const MiB = 2 ** 20;
const PATIENCE_MS = 120_000;
const SHMEM = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
const POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/** A line of /proc/meminfo, in MiB. */
function meminfo(name: string, text = Deno.readTextFileSync("/proc/meminfo")): number {
  return Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(text)![1]) / 1024;
}

Deno.test("RAM is of huge pages where the host has them, and the pool's are the guest's alone", () => {
  const before = Deno.readTextFileSync(SHMEM).match(/\[(\w+)\]/)![1];
  Deno.writeTextFileSync(SHMEM, "advise");
  Deno.writeTextFileSync(POOL, "8");
  try {
    {
      using ram = new TestRam({ length: 32 * MiB, hugePages: "transparent" });
      const had = meminfo("ShmemHugePages");
      ram.memory.bytes.fill(1);
      assert(meminfo("ShmemHugePages") - had >= 16, "most of RAM is of small pages");
      assertEquals(ram.log, []);
      // What is given back of a huge page is gone, too.
      assert(ram.memory.discard(4 * MiB + 4096, 4096 * 100));
      assertEquals(ram.taken, 32 * MiB - 4096 * 100);
    }
    using ram = new TestRam({ length: 16 * MiB, hugePages: "2M" });
    assertEquals(
      Number(/HugePages_Rsvd: +(\d+)/.exec(Deno.readTextFileSync("/proc/meminfo"))![1]),
      8,
    );
    assertThrows(
      () => new TestRam({ length: 4 * MiB, hugePages: "2M" }),
      RangeError,
      "the guest needs 2 and the host's pool has 0 left",
    );
    ram.memory.bytes.fill(1);
    assertEquals(ram.taken, 16 * MiB);
  } finally {
    Deno.writeTextFileSync(SHMEM, before);
    Deno.writeTextFileSync(POOL, "0");
  }
});

class MemoryGuest {
  readonly guest: RunningGuest;
  readonly #socket: string;

  constructor(guest: RunningGuest, socket: string) {
    this.guest = guest;
    this.#socket = socket;
  }

  async report(device: string): Promise<Record<string, number> & { statistics: Stats }> {
    return (await ask(this.#socket, { op: "devices" })).devices[device];
  }

  async change(device: string, change: Record<string, unknown>): Promise<void> {
    const { ok, error } = await ask(this.#socket, { op: "change", device, change });
    assert(ok, error);
  }

  async meminfo(name: string): Promise<number> {
    return meminfo(name, await this.guest.run("cat /proc/meminfo"));
  }

  /** MiB of the host that the guest's memory takes. */
  taken(): number {
    const folder = `/proc/${this.guest.pid}/fd`;
    for (const { name } of Deno.readDirSync(folder)) {
      if (Deno.readLinkSync(`${folder}/${name}`).startsWith("/memfd:guest-ram")) {
        return Deno.statSync(`${folder}/${name}`).blocks! * 512 / MiB;
      }
    }
    throw new Error("Cannot find the guest's memory");
  }
}

type Stats = Record<string, number>;

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!await holds()) {
    if (Date.now() > deadline) throw new Error(`Cannot go on: it never was that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

Deno.test("a guest that uses memory which was not added crashes", async () => {
  using folder = new Folder();
  const kernel = folder.file("kernel", tinyKernel("high"));
  const { code, errors } = await runVmm(["--kernel", kernel, "--memory", "256M,hotplug=512M"]);
  assertEquals(code, EXIT_CODES.crash, errors);
  assertStringIncludes(errors, "vCPU 0 used memory that was not added");
  // The same write to memory that is there.
  assertEquals((await runVmm(["--kernel", kernel, "--memory", "3200M"])).code, EXIT_CODES.poweroff);
});

Deno.test("a guest's memory shrinks and grows while it runs", async (t) => {
  const system = await quickGuest();
  const folder = await Deno.makeTempDir();
  const [disk, socket] = [`${folder}/disk.raw`, `${folder}/control.sock`];
  await new Deno.Command("cp", { args: ["--sparse=always", system.disk, disk] }).output();
  await using guest = await RunningGuest.booted([
    ...["--kernel", system.kernel, "--initrd", system.initrd, "--disk", disk],
    ...["--cmdline", `${system.cmdline} memhp_default_state=online_movable`, "--control", socket],
    ...["--memory", "384M,hotplug=1G", "--balloon", "0M"],
    ...["--pin", `0,${threadCpus().slice(0, 2).join("+")}`],
    ...["--numa", "256M,cpus=0,host=0,distances=10+25", "--numa", "128M,distances=25+10"],
  ]);
  const it = new MemoryGuest(guest, socket);
  await t.step("it sees its NUMA nodes", () => seesNodes(it));
  await t.step("what it frees, the host has back", () => reportsFreePages(it));
  await t.step("the balloon takes memory and gives it back", () => inflates(it));
  await t.step("its statistics are those of its /proc/meminfo", () => tellsStatistics(it));
  await t.step("memory is added and taken away", () => growsAndShrinks(it));
  await guest.type("poweroff\n");
  assertEquals(await guest.ended(), 0);
});

async function seesNodes({ guest }: MemoryGuest): Promise<void> {
  const nodes = "/sys/devices/system/node";
  assertEquals(await guest.run(`cat ${nodes}/online ${nodes}/node0/cpulist`), "0-1\n0");
  assertEquals(await guest.run(`cat ${nodes}/node*/distance`), "10 25\n25 10");
  const [first, second] = (await guest.run(`grep -h MemTotal ${nodes}/node*/meminfo`))
    .split("\n").map((line) => Number(/MemTotal: +(\d+)/.exec(line)![1]) / 1024);
  // The initial RAM disk, and the kernel wherever its address was drawn, have their share of either.
  assert(first > 128 && first < 256 && second > 8 && second <= 128, `${first} and ${second} MiB`);
}

async function reportsFreePages(it: MemoryGuest): Promise<void> {
  await it.guest.run("mkdir -p /mnt && mount -t tmpfs -o size=600M tmpfs /mnt");
  await it.guest.run("head -c 96M /dev/zero > /mnt/x");
  const full = it.taken();
  assert(full >= 96, `only ${full} MiB are taken`);
  await it.guest.run("rm /mnt/x");
  await until("free pages came back", () => it.taken() < full - 60);
  const { reportedBytes, refusedPages } = await it.report("balloon0");
  assert(reportedBytes >= 60 * MiB);
  assertEquals(refusedPages, 0);
}

async function inflates(it: MemoryGuest): Promise<void> {
  const [total, free] = [await it.meminfo("MemTotal"), await it.meminfo("MemFree")];
  await it.change("balloon0", { targetMiB: 96 });
  await until("the balloon was full", async () => (await it.report("balloon0")).actualMiB === 96);
  const { discardedBytes, reportedBytes, ranges, failedPages } = await it.report("balloon0");
  assert(discardedBytes - reportedBytes >= 96 * MiB);
  assert(ranges < discardedBytes / 4096 / 16, `${ranges} ranges are one for each few pages`);
  assertEquals(failedPages, 0);
  const shrunk = total - await it.meminfo("MemTotal") + (free - await it.meminfo("MemFree"));
  assert(shrunk >= 80, `the guest has but ${shrunk} MiB less`);
  await it.change("balloon0", { targetMiB: 0 });
  await until("the balloon was empty", async () => (await it.report("balloon0")).actualMiB === 0);
  await it.guest.run("head -c 96M /dev/zero > /mnt/x && rm /mnt/x");
}

async function tellsStatistics(it: MemoryGuest): Promise<void> {
  const { statisticsAt } = await it.report("balloon0");
  const total = await it.meminfo("MemTotal");
  // Each report has what the one before asked for, and the guest is busy with what it was given back.
  await until("new statistics agreed with the guest's own", async () => {
    const report = await it.report("balloon0");
    if (report.statisticsAt <= statisticsAt) return false;
    const { totalBytes, freeBytes } = report.statistics;
    const free = await it.meminfo("MemFree");
    return Math.abs(totalBytes / MiB - total) < 1 && Math.abs(freeBytes / MiB - free) < 64;
  });
}

async function growsAndShrinks(it: MemoryGuest): Promise<void> {
  const total = await it.meminfo("MemTotal");
  const ofNode1 = async () => {
    const line = await it.guest.run("grep MemTotal /sys/devices/system/node/node1/meminfo");
    return Number(/(\d+) kB/.exec(line)![1]) / 1024;
  };
  const before = await ofNode1();
  const plugged = (mib: number) => async () => (await it.report("mem0")).pluggedMiB === mib;
  await it.change("mem0", { requestedMiB: 128 });
  await until("128 MiB were plugged", plugged(128));
  await until("they were online", async () => await it.meminfo("MemTotal") >= total + 125);
  assert(await ofNode1() >= before + 125);
  // More than there was: some of it is used.
  await it.guest.run("head -c 330M /dev/zero > /mnt/x");
  assert(it.taken() > 330);
  await it.guest.run("rm /mnt/x");
  await it.change("mem0", { requestedMiB: 0 });
  await until("all was unplugged", plugged(0));
  assert(Math.abs(await it.meminfo("MemTotal") - total) < 1);
  assertEquals((await it.report("mem0")).refusedRequests, 0);
}
