/**
 * The appliance's power is cut at random moments: `deno task soak --power-cuts N`.
 *
 * One PC works on a disk whose every write is logged, and the log gives the disk after a cut at any moment.
 * Some of these disks a PC starts from; and one PC has its power cut for real, again and again.
 *
 * @module
 */
import { CACHE, OUT } from "../../../scripts/setup/checkout.ts";
import { run } from "../../../scripts/setup/command.ts";
import { recordHere } from "./record_here.ts";
import { Appliance, ApplianceDisk } from "../../e2e/appliance/host.ts";
import { chooseMoments, cutAfter, type Random, randomFrom } from "./cut.ts";
import { SafeDisk } from "./disk_after.ts";
import { HostWork, seedGuest, seedValues } from "./host_work.ts";
import { keptOn } from "./kept_offline.ts";
import { type Kept, Ledger } from "./ledger.ts";
import { readTable } from "../../../bootimg/disk/disk_table.ts";
import { tellIdle } from "./idle_writes.ts";
import { LogFile, type LoggedWrite, readWriteLog, SECTOR_BYTES } from "./write_log.ts";

/** A quarter of it is the data partition's, beyond what the system has. */
const DISK_BYTES = 2 * 1024 ** 3;
/**
 * Linux makes a flush of what a file system wants to be there for good at once (FUA): QEMU's NVMe disk says
 * that it can do that, and passes it on as any other write.
 */
const DISK_BUS = "sata";
/** So many times it does what there is to do, in each of its starts. */
const ROUNDS = 3;
/** So long after its start a host has done what a start makes it do. */
const SETTLED_MINUTES = 2;
/** The longest that a PC is left to itself before its plug is pulled. */
const PLUG_SECONDS = 150;

export interface PowerCutsOptions {
  /** Disks that are made of the log, and looked at. */
  cuts: number;
  /** How many of them a PC is started from. */
  starts: number;
  /** How often a PC's plug is pulled. */
  plugs: number;
  seed: number;
  /** For how long, in minutes, it is measured what an idle host writes. */
  idle: number;
  /** Whether the PC's work of the last time is taken, rather than done anew. */
  again: boolean;
  /** Whether a supervisor works on this machine, rather than the appliance on a PC. */
  here: boolean;
}

/**
 * What one PC did: its disk before, the log of its writes, the disk after, and what it was asked. It stays for
 * `--again`, since it takes much longer to make than a cut does.
 */
const RECORD = `${OUT}/power-cuts`;
/** The same of a supervisor on this machine. */
const RECORD_HERE = `${OUT}/power-cuts-here`;

interface Files {
  before: string;
  writes: string;
  after: string;
  ledger: string;
}

function filesIn(folder: string): Files {
  const [before, writes, after] = ["before", "writes", "after"].map((it) => `${folder}/${it}`);
  return { before, writes, after, ledger: `${folder}/ledger.json` };
}

/** Tells each cut, and all that was lost in it; returns how many were survived of how many. */
export async function cutPower(
  options: PowerCutsOptions,
): Promise<{ survived: number; tried: number }> {
  const folder = await Deno.makeTempDir({ dir: CACHE, prefix: ".power-cuts-" });
  try {
    const kept = options.here ? RECORD_HERE : RECORD;
    const files = filesIn(kept);
    if (!options.again) {
      await Deno.mkdir(kept, { recursive: true });
      if (options.here) await recordHere(files, { folder, idle: options.idle });
      else await record(files, { folder, idle: options.idle });
    }
    const now = () => Deno.statSync(files.writes).size;
    const ledger = Ledger.parse(await Deno.readTextFile(files.ledger), now);
    // There is no system on the disk of a supervisor alone.
    const pcs = options.here ? { starts: 0, plugs: 0 } : {};
    const random = randomFrom(options.seed);
    const trial = new Trial({ ...options, ...pcs, folder, files, random });
    await trial.cutByLog(ledger);
    await trial.pullPlugs(ledger);
    return trial.result;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function record(
  files: Files,
  { folder, idle }: { folder: string; idle: number },
): Promise<void> {
  const seed = await seedGuest(folder);
  await using disk = await ApplianceDisk.make({ seed, bytes: DISK_BYTES });
  await copy(disk.path, files.before);
  await Deno.writeFile(files.writes, new Uint8Array());
  const ledger = new Ledger(() => Deno.statSync(files.writes).size);
  await workTwice(disk, ledger, { given: seedValues(seed), writes: files.writes, idle });
  await copy(disk.path, files.after);
  await Deno.writeTextFile(files.ledger, ledger.format());
}

/** Two starts of the host with work, of which the second has no end; all by the size of the log then. */
async function workTwice(
  disk: ApplianceDisk,
  ledger: Ledger,
  { given, writes, idle }: { given: Record<string, string>; writes: string; idle: number },
): Promise<void> {
  {
    await using host = await Appliance.start(disk, { writeLog: writes, diskBus: DISK_BUS });
    const work = new HostWork(host, ledger);
    await ledger.change(given, () => work.arrived());
    say(`the host is up for the first time after ${host.pc.seconds.toFixed(0)} s`);
    await work.setPassword();
    await work.startSeed();
    await rounds(work, "first");
    await host.pc.powerButton();
    await host.pc.isOff(90 * host.patience);
    say(`and off after ${host.pc.seconds.toFixed(0)} s`);
  }
  await using host = await Appliance.start(disk, { writeLog: writes, diskBus: DISK_BUS });
  const work = new HostWork(host, ledger);
  await work.arrived();
  if (idle > 0) await measureIdle(disk.path, { log: writes, minutes: idle });
  await work.startSeed();
  await rounds(work, "second");
}

/** Tells what is written while there is nothing to do. */
async function measureIdle(
  disk: string,
  { log, minutes }: { log: string; minutes: number },
): Promise<void> {
  const pause = (minutes: number) => new Promise((go) => setTimeout(go, minutes * 60_000));
  const size = () => Deno.statSync(log).size;
  await pause(SETTLED_MINUTES);
  const from = size();
  await pause(minutes);
  const to = size();
  using file = new LogFile(log);
  const writes = readWriteLog(file).filter(({ end }) => end > from && end <= to);
  const table = await readTable(disk, DISK_BYTES / SECTOR_BYTES);
  tellIdle(table!, writes, minutes).forEach(say);
}

async function rounds(work: HostWork, name: string): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    await work.create(`${name}-${round}`);
    await work.setScrub(round % 2 === 0 ? "off" : "monthly");
    await work.setMemory(`${name}-${round}`, 96);
    await work.snapshot(`${name}-${round}`);
    if (round > 0) {
      await work.delete(`${name}-${round - 1}`);
      await work.deleteSnapshot(`${name}-${round - 1}`);
    }
    // Another one each time: what is there already is no change.
    if (round === 0) await work.setDns(`192.0.2.${1 + Math.floor(Math.random() * 250)}`);
  }
}

interface TrialOptions extends PowerCutsOptions {
  folder: string;
  files: Files;
  random: Random;
}

class Trial {
  readonly #options: TrialOptions;
  #tried = 0;
  #survived = 0;

  constructor(options: TrialOptions) {
    this.#options = options;
  }

  get result(): { survived: number; tried: number } {
    return { survived: this.#survived, tried: this.#tried };
  }

  async cutByLog(ledger: Ledger): Promise<void> {
    using log = new LogFile(this.#options.files.writes);
    const writes = readWriteLog(log);
    const { cuts, starts, random, folder } = this.#options;
    const flushes = writes.filter(({ flush }) => flush).length;
    say(`${writes.length} writes and flushes (${flushes}), ${megabytes(log.size)} MB`);
    const base = `${folder}/base`;
    await copy(this.#options.files.before, base);
    const safe = new SafeDisk(base, log, writes);
    const after = `${folder}/after`;
    const every = starts === 0 ? Infinity : Math.max(1, Math.floor(cuts / starts));
    for (const [i, moment] of chooseMoments(writes, cuts, random).entries()) {
      const cut = cutAfter(writes, moment, random);
      await safe.after(cut, after);
      const time = timeOf(writes, moment);
      const isStarted = i % every === every - 1;
      const started = `${folder}/started`;
      if (isStarted) await copy(after, started);
      const what =
        `after ${moment} of ${writes.length}, of the last ${moment - cut.safe} not safe ` +
        `${cut.reached.length} there`;
      await this.#try(what, async () => ledger.check(await keptOn(after), time));
      if (isStarted) await this.#try(`${what}; started`, () => this.#start(started, ledger, time));
    }
  }

  /** Starts a host from what a cut has left, and asks it what it has. */
  async #start(path: string, ledger: Ledger, time: number): Promise<string[]> {
    await using host = await Appliance.startFrom(path);
    const work = new HostWork(host, ledger);
    await work.arrived();
    const { screen } = host.pc;
    await screen.waitFor(/^Console +https:/, 90 * host.patience);
    const problems = screen.lines.map(({ text }) => text).filter((it) => it.startsWith("Problem"));
    return [...problems, ...missing(await work.kept(), ledger, time)];
  }

  /** The same disk goes on from cut to cut, and what was flushed is in this machine's memory alone. */
  async pullPlugs(ledger: Ledger): Promise<void> {
    const { plugs, random, folder } = this.#options;
    const path = `${folder}/plugged`;
    if (plugs > 0) await copy(this.#options.files.after, path);
    // The disk is the one of the log's end, so that all that was asked for is there.
    for (let plug = 0; plug < plugs; plug++) {
      const seconds = 5 + random() * PLUG_SECONDS;
      let stage = "starting";
      let isPulled = false;
      {
        await using host = await Appliance.startFrom(path, { unsafe: true });
        const work = new HostWork(host, ledger);
        const life = (async () => {
          await work.arrived();
          stage = "working";
          await work.startSeed();
          await rounds(work, `plug-${plug}`);
          stage = "idle";
        })().catch((error) => {
          if (!isPulled) say(`  the work ended while ${stage}: ${error.message.split("\n")[0]}`);
        });
        const pulled = new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        await Promise.race([pulled, life.then(() => pulled)]);
        isPulled = true;
      }
      const looked = `${folder}/looked`;
      await copy(path, looked);
      await this.#try(
        `the plug pulled after ${seconds.toFixed(0)} s, ${stage}`,
        async () => ledger.check(await keptOn(looked), Infinity),
      );
    }
  }

  async #try(what: string, look: () => Promise<string[]>): Promise<void> {
    this.#tried++;
    const wrong = await look().catch((error) => [String(error?.stack ?? error)]);
    if (wrong.length === 0) this.#survived++;
    say(`${wrong.length === 0 ? "survived" : "LOST"} ${this.#tried}: ${what}`);
    for (const line of wrong) say(`  ${line}`);
  }
}

/** When so many requests were done, by the log's size. */
function timeOf(writes: readonly LoggedWrite[], done: number): number {
  return done === 0 ? 0 : writes[done - 1].end;
}

/** What must be there and is not; a host that is up again has what comes with the disk, whatever was cut. */
function missing(kept: Kept, ledger: Ledger, time: number): string[] {
  return ledger.names.filter((name) => !/^(hostname|scrub|dns)$/.test(name)).flatMap((name) => {
    const may = ledger.mayBe(name, time);
    const found = kept.get(name) ?? null;
    const isSeeds = ledger.mayBe(name, 0).length > 1;
    return may.includes(found) || isSeeds && may.includes(null)
      ? []
      : [`${name} is ${found ?? "not there"}, and must be ${may.join(" or ")}`];
  });
}

async function copy(from: string, to: string): Promise<void> {
  await run(["cp", "--sparse=always", "--reflink=auto", from, to]);
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);

function say(text: string): void {
  console.log(text);
}
