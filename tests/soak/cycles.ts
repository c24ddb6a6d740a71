/**
 * Inside the lab: one guest that is saved and restored, forked, sent and upgraded, time after time, and has
 * never lost anything.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { EXIT_CODES, type GuestConfig } from "../../hypervisor/vmm/control.ts";
import { fork, goOn } from "../../hypervisor/vmm/testing/passing_connection.ts";
import { MARKER } from "../../scripts/lab_pc/marker_initrd.ts";
import { run } from "../../scripts/setup/command.ts";
import { Pauses, Proof, teller } from "./proof.ts";
import { SequenceServer } from "./sequence_server.ts";
import { appears, configAt, type Place, SoakedVmm } from "./soaked_guest.ts";
import { checkWork, DISKS_MIB, startWork } from "./work.ts";

/** What is told by `main.ts`, as JSON. */
export interface SoakJob {
  saves: number;
  forks: number;
  sends: number;
  upgrades: number;
  vmm: string;
  kernel: string;
  initrd: string;
}

const BRIDGE = "soakbr";
const HOST = "10.94.0.1";
const GUEST = "10.94.0.2";
const PORT = 7000;
const TAPS = ["soaktap0", "soaktap1", "soakfork"] as const;
const MIB = 2 ** 20;

class Soak {
  readonly pauses = new Pauses();
  readonly #job: SoakJob;
  readonly #folder = Deno.makeTempDirSync({ prefix: "soak-disks-" });
  readonly #place: Place;
  #vmm: SoakedVmm;
  #config: GuestConfig;

  constructor(job: SoakJob) {
    this.#job = job;
    this.#place = {
      disks: [this.#disk("a", DISKS_MIB[0]), this.#disk("b", DISKS_MIB[1])],
      tap: TAPS[0],
    };
    const cmdline = "console=ttyS0 quiet panic=-1 reboot=t stay";
    this.#config = configAt(this.#place, { kernel: job.kernel, initrd: job.initrd, cmdline });
    this.#vmm = new SoakedVmm(job.vmm);
  }

  #disk(name: string, mib: number): string {
    const path = `${this.#folder}/${name}.raw`;
    Deno.createSync(path).close();
    Deno.truncateSync(path, mib * MIB);
    return path;
  }

  async start(): Promise<void> {
    await this.#vmm.waits();
    await this.#vmm.run({ config: this.#config });
    await this.#vmm.boots(MARKER);
    await startWork(this.#vmm, { host: HOST, guest: GUEST, port: PORT });
  }

  async #next(): Promise<SoakedVmm> {
    const vmm = new SoakedVmm(this.#job.vmm);
    await vmm.waits();
    return vmm;
  }

  /** The guest is in `vmm` now. */
  async #becomes(vmm: SoakedVmm): Promise<void> {
    await this.#vmm[Symbol.asyncDispose]();
    this.#vmm = vmm;
  }

  get vmm(): SoakedVmm {
    return this.#vmm;
  }

  #paused(what: string, { pauseMs }: Record<string, unknown>): void {
    this.pauses.add(what, Number(pauseMs));
  }

  async saveAndRestore(): Promise<void> {
    const directory = `${this.#folder}/snapshot`;
    const next = await this.#next();
    // It does nothing more here, so that all it has told the world is in the snapshot.
    this.#paused("save", await this.#vmm.carryOut({ op: "save", directory, stay: true }));
    await this.#vmm[Symbol.asyncDispose]();
    await next.run({ restore: directory, identity: "same", config: this.#config });
    await this.#becomes(next);
    await Deno.remove(directory, { recursive: true });
  }

  async forkOne(): Promise<void> {
    await using child = await this.#next();
    const disks = this.#place.disks.map((_, i) => `${this.#folder}/fork${i}.raw`);
    using forked = await fork(this.#vmm.socket, async () => {
      for (const [i, from] of this.#place.disks.entries()) {
        await run(["cp", "--sparse=always", from, disks[i]]);
      }
    });
    this.#paused("fork", { pauseMs: forked.pausedMs });
    const nets = this.#config.nets.map((net) => ({ ...net, tap: TAPS[2] }));
    const config = { ...this.#config, disks: disks.map((path) => ({ path })), nets };
    const { ok, error } = await goOn(child.socket, forked, config);
    assert(ok, error);
    await checkWork(child);
  }

  async send(): Promise<void> {
    const next = await this.#next();
    const tap = this.#config.nets[0].tap === TAPS[0] ? TAPS[1] : TAPS[0];
    const config = { ...this.#config, nets: this.#config.nets.map((net) => ({ ...net, tap })) };
    const socket = `${next.folder}/migrate.sock`;
    const runs = next.run({ receive: socket, config });
    await appears(socket);
    const request = { op: "send", socket, allowedPauseMs: 300, force: true };
    const sent = await this.#vmm.carryOut(request);
    assertEquals(sent.isHeard, true);
    assertEquals(await this.#vmm.ended(), EXIT_CODES.migrated);
    await runs;
    this.#paused("send", sent);
    this.#config = config;
    await this.#becomes(next);
  }

  async upgrade(): Promise<void> {
    const next = await this.#next();
    const socket = `${next.folder}/upgrade.sock`;
    const runs = next.run({ upgrade: socket });
    await appears(socket);
    this.#paused("upgrade", await this.#vmm.carryOut({ op: "upgrade", socket }));
    assertEquals(await this.#vmm.ended(), EXIT_CODES.upgraded);
    await runs;
    await this.#becomes(next);
  }

  async close(): Promise<void> {
    await this.#vmm[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

async function lay(): Promise<void> {
  await run(["ip", "link", "add", BRIDGE, "type", "bridge"]);
  await run(["ip", "addr", "add", `${HOST}/24`, "dev", BRIDGE]);
  await run(["ip", "link", "set", BRIDGE, "up"]);
  for (const tap of TAPS) {
    await run(["ip", "tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr"]);
    // A fork has its parent's addresses until it is given others: it is on a wire of its own.
    if (tap !== TAPS[2]) await run(["ip", "link", "set", tap, "master", BRIDGE]);
    await run(["ip", "link", "set", tap, "up"]);
  }
}

async function soak(job: SoakJob): Promise<number> {
  await lay();
  await using server = new SequenceServer({ hostname: HOST, port: PORT });
  const it = new Soak(job);
  const tell = teller();
  try {
    await it.start();
    const proof = new Proof(server);
    await proof.holds(it.vmm);
    const kinds = [
      ["save and restore", job.saves, () => it.saveAndRestore()],
      ["fork", job.forks, () => it.forkOne()],
      ["send", job.sends, () => it.send()],
      ["upgrade", job.upgrades, () => it.upgrade()],
    ] as const;
    for (const [name, count, act] of kinds) {
      for (let n = 1; n <= count; n++) {
        await act();
        await proof.holds(it.vmm);
        if (n % 10 === 0 || n === count) tell(`${name}: ${n} of ${count}`);
      }
    }
    console.log(it.pauses.figures());
    return 0;
  } catch (error) {
    tell(`FAILED: ${(error as Error).stack}`);
    console.log(it.pauses.figures());
    return 1;
  } finally {
    await it.close();
  }
}

if (import.meta.main) Deno.exit(await soak(JSON.parse(Deno.args[0])));
