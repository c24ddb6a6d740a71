/**
 * A Linux guest that proves all the while that it has lost nothing: fio writes to its disk and reads that
 * back, a counter stands in memory and on another disk, numbers go to the host over one TCP connection,
 * and its clock is the host's.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { GuestConfig } from "../../hypervisor/vmm/control.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";

const LOOK_AGAIN_MS = 20;
const START_PATIENCE_MS = 240_000;
const COMMAND_PATIENCE_MS = 120_000;
/** By how much the guest's clock may differ from the host's: it tells whole seconds. */
const MOST_SECONDS = 2;

export const FIO =
  "fio --name=soak --filename=/dev/vda --size=24M --bs=4k --rw=randwrite --direct=1 " +
  "--verify=crc32c --verify_backlog=64 --verify_fatal=1 --loops=1000000 --thinktime=20000 --output=/tmp/fio.log";

/** A VMM that waits, and what runs in it once it was told. */
export class SoakedVmm implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "soak-" });
  readonly socket = `${this.folder}/control.sock`;
  readonly #child: Deno.ChildProcess;
  #commands = 0;

  constructor(vmm: string) {
    const { program, args, env } = vmmCommand(vmm);
    this.#child = new Deno.Command(program, {
      args: [...args, "--wait", "--control", this.socket],
      ...{ env, clearEnv: true, stdin: "null", stdout: "inherit", stderr: "inherit" },
    }).spawn();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Returns once it waits to be told what to run. */
  async waits(): Promise<void> {
    await appears(this.socket);
  }

  async run(what: Record<string, unknown>): Promise<void> {
    const { ok, error } = await ask(this.socket, { op: "run", ...what });
    if (!ok) throw new Error(error);
  }

  /** The last line of what a request that takes a while is answered; throws its error. */
  async carryOut(request: Record<string, unknown>): Promise<Record<string, unknown>> {
    using connection = await ControlConnection.open(this.socket, request);
    let last: Record<string, unknown> = {};
    for (let line = await connection.line(); line; line = await connection.line()) last = line;
    if (last.error !== undefined) throw new Error(`Cannot ${request.op}: ${last.error}`);
    return last;
  }

  /** Runs a line in the guest's shell; what it printed. */
  async command(line: string): Promise<string> {
    using serial = await ControlConnection.open(this.socket, { op: "serial" });
    const { ok, error } = await serial.line();
    if (!ok) throw new Error(error);
    const mark = `@@${this.pid}.${++this.#commands}`;
    const conversation = async () => {
      await serial.send(`echo "${mark}<"; { ${line}\n} 2>&1; echo "${mark}> $?"\n`);
      await serial.until(`${mark}<\n`);
      const printed = await serial.until(`${mark}> `);
      const status = await serial.until("\n");
      assertEquals(status, "0\n", `"${line}" failed in the guest: ${printed}`);
      return printed.slice(0, -`${mark}> `.length).trim();
    };
    return await within(COMMAND_PATIENCE_MS, conversation(), `"${line}" in the guest`);
  }

  /** Returns once the guest has reached its user space. */
  async boots(marker: string): Promise<void> {
    using serial = await ControlConnection.open(this.socket, { op: "serial" });
    await serial.line();
    const seen = await within(START_PATIENCE_MS, serial.until(marker), "the guest's user space");
    if (!seen.endsWith(marker)) throw new Error(`The guest ended before that:\n${seen}`);
  }

  /** How it ended. */
  async ended(): Promise<number> {
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await Deno.remove(this.folder, { recursive: true }).catch(() => {});
  }
}

/** What comes of it, unless that takes too long. */
async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`Cannot wait for ${what} longer than ${ms / 1000} s`)),
    ms,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => {});
  }
}

export async function appears(path: string): Promise<void> {
  const deadline = Date.now() + START_PATIENCE_MS;
  while (!await Deno.lstat(path).then(() => true, () => false)) {
    if (Date.now() > deadline) throw new Error(`Cannot wait for "${path}" any longer`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** Gives the guest its work. */
export async function startWork(
  vmm: SoakedVmm,
  { host, guest, port }: { host: string; guest: string; port: number },
): Promise<void> {
  await vmm.command(`ip addr add ${guest}/24 dev eth0 && ip link set eth0 up`);
  await vmm.command(`date -s @${Math.floor(Date.now() / 1000)} > /dev/null`);
  await vmm.command(`{ ${FIO}; echo $? > /tmp/fio.end; } > /dev/null 2>&1 &`);
  // In memory first: on the disk it is the same, or one less. Never is there nothing, as there would be for a
  // moment if the file were made anew.
  await vmm.command(
    `echo > /dev/shm/count; ` +
      `(i=0; while :; do i=$((i+1)); printf '%-20d\\n' $i 1<> /dev/shm/count; ` +
      `printf '%-511d\\n' $i | dd of=/dev/vdb bs=512 oflag=direct 2> /dev/null; sleep 0.1; done) &`,
  );
  await vmm.command(
    `(i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done) | nc ${host} ${port} > /dev/null 2>&1 &`,
  );
}

/** Nothing is lost or doubled, and all go on; what the counter is. */
export async function checkWork(vmm: SoakedVmm): Promise<number> {
  const count = async () => {
    const read = "cat /dev/shm/count; dd if=/dev/vdb bs=512 count=1 iflag=direct 2> /dev/null; ";
    // The disk's second time tells whether memory went on in between.
    const [memory, disk] = (await vmm.command(`${read} cat /dev/shm/count`)).split("\n").map(
      Number,
    );
    assert(
      disk - memory <= 20 && memory - disk <= 1,
      `${memory} in memory and ${disk} on the disk`,
    );
    return memory;
  };
  const before = await count();
  await vmm.command("sleep 0.5");
  const after = await count();
  assert(after > before, `the counter stands at ${after}`);
  assertEquals(
    await vmm.command("cat /tmp/fio.end 2> /dev/null; cat /tmp/fio.log 2> /dev/null"),
    "",
  );
  const began = Date.now();
  const time = Number(await vmm.command("date +%s"));
  const off = [began / 1000 - time, time - Date.now() / 1000].map((it) => Math.max(0, it));
  assert(Math.max(...off) <= MOST_SECONDS, `the guest's clock is ${Math.max(...off)} s off`);
  const bad = "soft lockup|rcu.*stall|unstable|Call Trace|I/O error|BUG:";
  assertEquals(await vmm.command(`dmesg | grep -E '${bad}' || true`), "");
  return after;
}

/** Where the guest's two disks are and which tap it has. */
export interface Place {
  disks: readonly [string, string];
  tap?: string;
}

export function configAt(
  place: Place,
  boots: { kernel: string; initrd: string; cmdline: string },
): GuestConfig {
  return {
    name: "soak",
    ...boots,
    memoryMiB: 384,
    cpus: 1,
    disks: place.disks.map((path) => ({ path })),
    nets: place.tap === undefined ? [] : [{ tap: place.tap, mac: "52:54:00:5a:00:01" }],
  };
}
