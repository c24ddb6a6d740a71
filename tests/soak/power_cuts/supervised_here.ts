/**
 * The supervisor alone, on this machine: its data lie on an XFS on a disk whose writes are logged, without a PC.
 * No guest runs; but a hundred times as much can be asked of it in the same time.
 *
 * Runs in the root of trixie, whose QEMU exports the disk, and whose mounts end with it: the arguments are one
 * JSON text of {@linkcode HereJob}.
 *
 * @module
 */
import { KeptSettings } from "../../../bootimg/settings/kept.ts";
import { run } from "../../../scripts/setup/command.ts";
import { HostWork } from "./host_work.ts";
import { Ledger } from "./ledger.ts";

export interface HereJob {
  /** The disk, where its partition is, and the log that comes to be of its writes. */
  disk: string;
  offset: number;
  bytes: number;
  log: string;
  supervisor: string;
  vmm: string;
  /** Where the guest to import lies, and the values that it gives. */
  seeds: string;
  given: Record<string, string>;
  rounds: number;
  /** For how long, in minutes, it then has nothing to do; where in the log that began and ended is printed. */
  idle: number;
  /** Where the ledger is written to. */
  ledger: string;
}

const DATA = "/mnt/data";
const RUN = "/tmp/run";
const PATIENCE_MS = 120_000;
/** After so many rounds the supervisor is killed, and started again. */
const ROUNDS_OF_ONE = 5;
/** So long after the last work the kernel has written what it had put off. */
const SETTLED_MINUTES = 1.5;

class Here {
  readonly #job: HereJob;
  #child: Deno.ChildProcess | undefined;

  constructor(job: HereJob) {
    this.#job = job;
  }

  async begin(): Promise<void> {
    const { disk, log, offset, bytes } = this.#job;
    for (const folder of [DATA, RUN]) Deno.mkdirSync(folder, { recursive: true });
    // In memory, over which the whole disk appears.
    const shown = "/mnt/disk";
    Deno.writeFileSync(shown, new Uint8Array());
    const file = (filename: string) => ({ driver: "file", filename });
    const node = {
      ...{ driver: "blklogwrites", "node-name": "disk", discard: "unmap" },
      file: { ...file(disk), discard: "unmap" },
      log: file(log),
      ...{ "log-sector-size": 512, "log-super-update-interval": 1 },
    };
    const options = `type=fuse,id=shown,node-name=disk,mountpoint=${shown},writable=on`;
    new Deno.Command("setpriv", {
      args: [
        ...["--pdeathsig=KILL", "qemu-storage-daemon", "--blockdev", JSON.stringify(node)],
        ...["--export", options],
      ],
    }).spawn().unref();
    await this.until("the disk", () => {
      return Promise.resolve(Deno.statSync(shown).size > 0 ? true : undefined);
    });
    const range = ["--offset", String(offset), "--sizelimit", String(bytes)];
    const { stdout } = await run(["losetup", "--find", "--show", ...range, shown]);
    const device = stdout.trim();
    try {
      await run(["mount", "-t", "xfs", "-o", "nosuid,nodev,noatime", device, DATA]);
    } finally {
      // It goes when nobody uses it any more.
      await run(["losetup", "--detach", device]);
    }
  }

  start(): void {
    const { supervisor, vmm, seeds } = this.#job;
    this.#child = new Deno.Command("setpriv", {
      args: [
        ...["--pdeathsig=KILL", Deno.execPath(), "run", "--quiet", "--no-config", "--no-check"],
        ...["--allow-all", supervisor, "--data", DATA, "--run", RUN, "--vmm", vmm],
        ...["--pool", "0", "--import", seeds],
      ],
      ...{ stdout: "null", stderr: "inherit" },
    }).spawn();
  }

  async kill(): Promise<void> {
    this.#child!.kill("SIGKILL");
    await this.#child!.status;
  }

  async ask<T>(action: "api" | "read", argument: string): Promise<T> {
    if (action === "read") {
      return await Deno.readTextFile(argument.replace("/run/denovisor", RUN)) as T;
    }
    const [, method, path, body] = /^(\S+) (\S+) ?(.*)$/.exec(argument)!;
    const socket = `${RUN}/supervisor.sock`;
    using client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
    const init: RequestInit & { client: Deno.HttpClient } = {
      ...{ client, method, body: body || undefined },
      headers: body ? { "content-type": "application/json" } : {},
    };
    const text = await (await fetch(`http://localhost/api/v1${path}`, init)).text();
    return JSON.parse(text || "null");
  }

  async until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
    let last: unknown;
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end;) {
      try {
        const answer = await ask();
        if (answer !== undefined) return answer;
      } catch (error) {
        last = error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`${what} did not come about (${last})`);
  }
}

async function workHere(job: HereJob): Promise<void> {
  const ledger = new Ledger(() => Deno.statSync(job.log).size);
  const here = new Here(job);
  const work = new HostWork(here, ledger);
  await here.begin();
  // Process 1 keeps the settings, by this.
  const settings = new KeptSettings(`${DATA}/host/settings.json`);
  const { hostname, ...seeds } = job.given;
  await ledger.change({ hostname }, () => settings.begin(`hostname: ${hostname}\n`));
  here.start();
  await ledger.change(seeds, () => work.arrived());
  await work.setPassword();
  for (let round = 0; round < job.rounds; round++) {
    const name = `round-${round}`;
    await work.create(name);
    await work.setMemory(name, 96);
    const scrub = round % 2 === 0 ? "off" : "monthly";
    await ledger.change({ scrub }, () => Promise.resolve(settings.change({ scrub })));
    await work.snapshot(name);
    if (round > 1) {
      await work.delete(`round-${round - 2}`);
      await work.deleteSnapshot(`round-${round - 2}`);
    }
    if (round % ROUNDS_OF_ONE === ROUNDS_OF_ONE - 1) {
      await here.kill();
      here.start();
      await work.arrived();
    }
  }
  if (job.idle > 0) await idle(job);
  await here.kill();
  await Deno.writeTextFile(job.ledger, ledger.format());
  await run(["umount", DATA]);
}

async function idle({ idle, log }: HereJob): Promise<void> {
  const pause = (minutes: number) => new Promise((go) => setTimeout(go, minutes * 60_000));
  const size = () => Deno.statSync(log).size;
  await pause(SETTLED_MINUTES);
  const from = size();
  await pause(idle);
  console.log(JSON.stringify({ from, to: size() }));
}

if (import.meta.main) {
  await workHere(JSON.parse(Deno.args[0]));
  Deno.exit(0);
}
