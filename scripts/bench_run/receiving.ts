/**
 * A monitor that waits for a guest from another: ours, or QEMU.
 *
 * @module
 */
import { copiedCommand, type CopiedShape } from "./copied_guest.ts";
import type { BenchJob } from "./job.ts";
import type { Monitor } from "./monitors.ts";
import { Qmp } from "./qmp.ts";
import { WaitingVmm } from "./waiting_vmm.ts";

export interface Receiving extends AsyncDisposable {
  /** Where the guest is to be sent: a path for ours, what `migrate` takes for QEMU. */
  readonly address: string;
  /** When the guest went on there, milliseconds since the epoch; of QEMU, on this host. */
  resumedAt?(): Promise<number>;
}

export interface ReceivingOptions {
  shape: CopiedShape;
  job: BenchJob;
  /** Where QEMU listens; at a socket of its own without. Ours always does so. */
  uri?: string;
}

/** Resolves when it listens. */
export async function receive(monitor: Monitor, options: ReceivingOptions): Promise<Receiving> {
  if (monitor !== "denovisor") return await QemuReceiving.start(monitor, options);
  const vmm = await WaitingVmm.start(options.job.vmm);
  try {
    const address = await vmm.expect("receive");
    return { address, [Symbol.asyncDispose]: () => vmm[Symbol.asyncDispose]() };
  } catch (error) {
    await vmm[Symbol.asyncDispose]();
    throw error;
  }
}

class QemuReceiving implements Receiving {
  readonly address: string;
  readonly #folder = Deno.makeTempDirSync({ prefix: "incoming-" });
  readonly #child: Deno.ChildProcess;
  #qmp: Qmp | undefined;

  private constructor(monitor: Monitor, { shape, job, uri }: ReceivingOptions) {
    this.address = uri ?? `unix:${this.#folder}/migrate.sock`;
    const [program, ...args] = copiedCommand(monitor, { ...shape, socket: this.#socket }, job);
    this.#child = new Deno.Command(program, {
      args: [...args, "-incoming", this.address],
      ...{ stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
  }

  static async start(monitor: Monitor, options: ReceivingOptions): Promise<QemuReceiving> {
    const receiving = new QemuReceiving(monitor, options);
    try {
      const qmp = receiving.#qmp = await Qmp.open(receiving.#socket);
      await qmp.command("query-status");
      return receiving;
    } catch (error) {
      await receiving[Symbol.asyncDispose]();
      throw error;
    }
  }

  get #socket(): string {
    return `${this.#folder}/qmp.sock`;
  }

  async resumedAt(): Promise<number> {
    await this.#qmp!.event("RESUME");
    return this.#qmp!.cameAt("RESUME");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#qmp?.[Symbol.dispose]();
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await Deno.remove(this.#folder, { recursive: true });
  }
}
