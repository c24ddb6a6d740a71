/**
 * One appliance for all tests of its life: the image that is shipped, with an agent beside.
 *
 * @module
 */
import { ENTRIES } from "../../../bootimg/build/app_root.ts";
import { buildImage, type ImageOptions, type ImageResult } from "../../../bootimg/build/image.ts";
import { ownUpdateKey } from "../../../bootimg/build/update_key.ts";
import { ALIGNMENT_SECTORS, SECTOR_BYTES } from "../../../bootimg/disk/gpt.ts";
import type { HostUpdate } from "../../../hypervisor/supervisor/api/host_update.ts";
import { SERVICES } from "../../../bootimg/services.ts";
import { type Acceleration, chooseAcceleration } from "../../../scripts/demo_pc/acceleration.ts";
import { demoGuest } from "../../../scripts/demo_pc/demo_guest.ts";
import { addSeedVolume, flash, type SeedGuestFiles } from "../../../scripts/demo_pc/flash.ts";
import { freePort, Pc, type PcOptions } from "../../../scripts/demo_pc/pc.ts";
import { markerInitrd } from "../../../scripts/lab_pc/marker_initrd.ts";
import { CACHE } from "../../../scripts/setup/checkout.ts";
import { trixieKernel } from "../../../scripts/setup/kernels.ts";
import { inTrixie } from "../../../scripts/setup/trixie.ts";

const DISK_BYTES = 4 * 1024 ** 3;
const STICK_BYTES = 512 * 1024 ** 2;
/** How long the agent may take for an answer. */
const ANSWER_MS = 5000;

export interface ProcessFacts {
  pid: number;
  parent: number;
  state: string;
  uid: number;
  command: string;
}

/** The name that the disk's settings give the host. */
export const HOST_NAME = "den-of-tests";

/** A guest without a disk, of which nobody needs more than that it runs. */
export async function smallGuest(name: string): Promise<SeedGuestFiles> {
  const { kernel } = await trixieKernel("cloud");
  const files = { kernel: "small-vmlinuz", initrd: "small-initrd.img" };
  return {
    folder: name,
    guest: { name, cpus: 1, memoryMiB: 128, cmdline: "console=ttyS0 quiet stay", files },
    files: { [files.kernel]: kernel, [files.initrd]: await markerInitrd() },
  };
}

/** Settings with a mistake in their second line. */
const SETTINGS = `hostname: ${HOST_NAME}
timezone: Nowhere/Else
network:
  bridges:
    - name: br0
    - name: br1
      vlan: 20
      ipv4: { method: static, address: 198.51.100.7/24 }
      ipv6: { method: none }
`;

/** A disk with the appliance, settings and a guest on it; removed at the end. */
export class ApplianceDisk implements AsyncDisposable {
  readonly path: string;
  readonly acceleration: Acceleration;
  readonly #image: string;

  private constructor(path: string, image: string, acceleration: Acceleration) {
    this.path = path;
    this.#image = image;
    this.acceleration = acceleration;
  }

  /**
   * With `bare` nothing is on it but the image: no settings, and no guest. With `seed` it is that guest, and
   * settings without a mistake. With `secureBoot` it is signed with that key.
   */
  static async make(
    options:
      & { bare?: boolean; seed?: SeedGuestFiles; bytes?: number }
      & Pick<
        ImageOptions,
        "secureBoot"
      > = {},
  ): Promise<ApplianceDisk> {
    const { bare = false, seed, bytes = DISK_BYTES } = options;
    const { path, image } = await flashed(bytes, options.secureBoot);
    const settings = seed ? `hostname: ${HOST_NAME}\n` : SETTINGS;
    if (!bare) await addSeedVolume(path, seed ?? await demoGuest(), { settings });
    return new ApplianceDisk(path, image, await chooseAcceleration());
  }

  /** A stick with the image and settings beside what is booted, as any PC's tools would write it. */
  static async stick(settings: string): Promise<ApplianceDisk> {
    const { path, image } = await flashed(STICK_BYTES);
    const text = `${path}.yaml`;
    await Deno.writeTextFile(text, settings);
    const volume = `${path}@@${ALIGNMENT_SECTORS * SECTOR_BYTES}`;
    await inTrixie(["mcopy", "-i", volume, text, "::denovisor.yaml"], {
      env: { MTOOLS_SKIP_CHECK: "1" },
      bind: [path.replace(/\/[^/]*$/, "")],
    });
    return new ApplianceDisk(path, image, await chooseAcceleration());
  }

  /** An empty disk beside it, which goes with it. */
  async beside(name: string, bytes: number): Promise<string> {
    const path = this.path.replace(/[^/]*$/, name);
    await Deno.writeFile(path, new Uint8Array());
    await Deno.truncate(path, bytes);
    return path;
  }

  /** Writes the image over the disk's beginning once more, as one does to update. */
  async flashAgain(): Promise<void> {
    const image = await Deno.open(this.#image);
    const disk = await Deno.open(this.path, { write: true });
    await image.readable.pipeTo(disk.writable);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path.replace(/\/[^/]*$/, ""), { recursive: true });
  }
}

/** The appliance with the agent in it. */
export async function buildAppliance(options: ImageOptions): Promise<ImageResult> {
  return await buildImage({
    ...options,
    updateKey: options.updateKey ?? await ownUpdateKey(),
    entries: { ...ENTRIES, ...options.entries, agent: "tests/e2e/appliance/agent.ts" },
    services: [...SERVICES, { name: "agent", entry: "agent.js", flags: ["--allow-all"], args: [] }],
  });
}

/** The image with the agent in it, on a disk of its own. */
async function flashed(
  bytes: number,
  secureBoot?: ImageOptions["secureBoot"],
): Promise<{ path: string; image: string }> {
  const folder = await Deno.makeTempDir({ dir: CACHE, prefix: ".appliance-" });
  const { image } = await buildAppliance({ folder, secureBoot });
  const path = `${folder}/disk`;
  await flash(image, path, bytes);
  return { path, image };
}

/** A running appliance. */
export class Appliance implements AsyncDisposable {
  readonly pc: Pc;
  /** The console's port on this machine. */
  readonly port: number;
  /** How much longer than a real PC it may take. */
  readonly patience: number;
  readonly #agentPort: number;

  private constructor(pc: Pc, ports: { port: number; agentPort: number; patience: number }) {
    this.pc = pc;
    this.port = ports.port;
    this.patience = ports.patience;
    this.#agentPort = ports.agentPort;
  }

  /** With `keepsVariables` the firmware finds its variables again. */
  static async start(
    disk: ApplianceDisk,
    options:
      & Pick<PcOptions, "diskBus" | "otherDisks" | "restarts" | "writeLog" | "unsafe">
      & Pick<PcOptions, "firmware" | "memoryMiB">
      & {
        path?: string;
        keepsVariables?: boolean;
        /** More of its ports on this machine's loopback, beside the console's and the agent's. */
        forwards?: PcOptions["forwards"];
      } = {},
  ): Promise<Appliance> {
    const { path = disk.path, ...rest } = options;
    return await Appliance.#start(path, disk.acceleration, rest);
  }

  /** From a disk of which nothing but its path is known. */
  static async startFrom(
    path: string,
    options: Pick<PcOptions, "unsafe"> = {},
  ): Promise<Appliance> {
    return await Appliance.#start(path, await chooseAcceleration(), options);
  }

  static async #start(
    path: string,
    acceleration: Acceleration,
    options: Omit<Partial<PcOptions>, "variables"> & { keepsVariables?: boolean },
  ): Promise<Appliance> {
    const { keepsVariables = false, forwards = [], ...pcOptions } = options;
    const port = freePort();
    const agentPort = freePort();
    const pc = await Pc.start({
      ...{ ...pcOptions, disk: path, acceleration },
      variables: keepsVariables ? `${path}.variables` : undefined,
      forwards: [{ from: port, to: 443 }, { from: agentPort, to: 9000 }, ...forwards],
    });
    const patience = acceleration.kind === "kvm" ? 1 : 8;
    return new Appliance(pc, { port, agentPort, patience });
  }

  /** Asks the agent. */
  async ask<T>(action: string, argument: string | number = ""): Promise<T> {
    const query = new URLSearchParams({ argument: String(argument) });
    const response = await fetch(`http://127.0.0.1:${this.#agentPort}/${action}?${query}`, {
      // A host that has another address meanwhile never answers.
      signal: AbortSignal.timeout(ANSWER_MS * this.patience),
    });
    if (!response.ok) throw new Error(`Cannot ${action} "${argument}": ${await response.text()}`);
    return await response.json();
  }

  /** Puts an update on the host, as the supervisor would; returns the answer. */
  async update(
    system: Uint8Array<ArrayBuffer>,
    signature: string | null,
  ): Promise<{ status: number; answer: HostUpdate & { message?: string } }> {
    const query = new URLSearchParams({ argument: signature ?? "" });
    const url = `http://127.0.0.1:${this.#agentPort}/update?${query}`;
    const response = await fetch(url, {
      ...{ method: "PUT", body: system },
      signal: AbortSignal.timeout(10 * 60_000),
    });
    return { status: response.status, answer: await response.json() };
  }

  /** The process that runs `/app/NAME.js`. */
  async process(name: string): Promise<ProcessFacts | undefined> {
    const all = await this.ask<ProcessFacts[]>("processes");
    return all.find((it) => it.command.split(" ").includes(`/app/${name}.js`));
  }

  /** Asks until the answer is not undefined; errors count as undefined. */
  async until<T>(what: string, ask: () => Promise<T | undefined>, seconds = 30): Promise<T> {
    const end = performance.now() + seconds * 1000 * this.patience;
    let last: unknown;
    while (performance.now() < end) {
      try {
        const answer = await ask();
        if (answer !== undefined) return answer;
      } catch (error) {
        last = error;
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw new Error(
      `${what} did not come about (${last ?? "no error"})\n${this.pc.screen.lastWords}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pc[Symbol.asyncDispose]();
  }
}
