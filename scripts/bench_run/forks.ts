/**
 * Many guests out of one that runs: how long each takes, what it costs the host, and whether all answer on
 * the network. QEMU has nothing of the kind.
 *
 * @module
 */
import { length } from "../../hypervisor/sys/files.ts";
import { readAt } from "../../hypervisor/sys/positioned_io.ts";
import type { GuestConfig } from "../../hypervisor/vmm/control.ts";
import { decodeGuest } from "../../hypervisor/vmm/snapshot/saved_guest.ts";
import { fork, type Forked } from "../../hypervisor/vmm/testing/passing_connection.ts";
import { run } from "../setup/command.ts";
import { CopiedGuest } from "./copied_guest.ts";
import { availableMiB } from "./density.ts";
import { type BenchJob, seconds } from "./job.ts";
import type { Recorder } from "./recorder.ts";
import { WaitingVmm } from "./waiting_vmm.ts";

const MEMORY_MIB = 128;
const FILLED_MIB = 32;
const HOST = "10.92.0.1";
const GUEST = "10.92.0.2";
/** More at a time would only wait for the host's CPUs. */
const STARTED_AT_ONCE = 4;
const SETTLE_SECONDS = 10;

export async function forks(job: BenchJob, recorder: Recorder): Promise<void> {
  const count = 2 * job.guests;
  await using stack = new AsyncDisposableStack();
  const addTap = async (name: string) => {
    await run(["ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr"]);
    stack.defer(async () => void await run(["ip", "link", "del", name]));
    await run(["ip", "addr", "add", `${HOST}/24`, "dev", name]);
    await run(["ip", "link", "set", name, "up"]);
  };
  await addTap("parent");
  const shape = { memoryMiB: MEMORY_MIB, filledMiB: FILLED_MIB, taps: ["parent"] };
  const parent = stack.use(await CopiedGuest.start("denovisor", shape, job));
  await parent.guest.run(`ip addr add ${GUEST}/24 dev eth0 && ip link set eth0 up`);
  await run(["ping", "-I", "parent", "-c", "3", "-i", "0.2", "-w", "20", GUEST]);

  const before = await availableMiB();
  const vmms: WaitingVmm[] = [];
  for (let n = 0; n < count; n += STARTED_AT_ONCE) {
    const some = Array.from(
      { length: Math.min(STARTED_AT_ONCE, count - n) },
      () => WaitingVmm.start(job.vmm),
    );
    for (const vmm of await Promise.all(some)) vmms.push(stack.use(vmm));
  }
  for (let n = 0; n < count; n++) await addTap(`fork${n}`);

  using forked = await fork(parent.socket);
  const row = { unit: "ms", better: "lower", noPeer: true } as const;
  const pause = `fork: the running guest's pause, ${MEMORY_MIB} MiB`;
  recorder.add({ ...row, name: pause }, "denovisor", forked.pausedMs);
  const each = `fork: one of ${count}, by a VMM that waited`;
  for (const [n, vmm] of vmms.entries()) {
    const ms = await vmm.goOnFrom(forked, childConfig(forked, n));
    recorder.add({ ...row, name: each }, "denovisor", ms);
  }
  await seconds(SETTLE_SECONDS);
  const memory = {
    ...row,
    name: `fork: memory of the host for one of ${count} and its VMM`,
    unit: "MiB",
  };
  const used = (before - await availableMiB()) / count;
  recorder.add(memory, "denovisor", Math.max(0, used));
  let answering = 0;
  for (let n = 0; n < count; n++) if (await answers(`fork${n}`)) answering++;
  const name = `fork: of ${count}, how many answer on the network`;
  recorder.add({ ...row, name, unit: "", better: "higher" }, "denovisor", answering);
}

/** The same machine on a tap of its own. Its driver still has the parent's addresses. */
function childConfig({ descriptors: [fd] }: Forked, n: number): GuestConfig {
  const bytes = new Uint8Array(length(fd));
  readAt(fd, bytes, 0);
  const { config } = decodeGuest(bytes);
  const nets = config.nets.map((net) => ({ ...net, tap: `fork${n}` }));
  return { ...config, name: `fork${n}`, nets };
}

async function answers(tap: string): Promise<boolean> {
  const { success } = await new Deno.Command("ping", {
    args: ["-I", tap, "-c", "3", "-i", "0.3", "-w", "20", GUEST],
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}
