/**
 * A VMM with a guest at work, told what to do over its control socket.
 *
 * @module
 */
import type { GuestConfig } from "../../hypervisor/vmm/control.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { runLine, within } from "./shell_line.ts";
import type { Shell } from "./work.ts";

const LOOK_AGAIN_MS = 20;
const START_PATIENCE_MS = 240_000;

/** A VMM that waits, and what runs in it once it was told. */
export class SoakedVmm implements AsyncDisposable, Shell {
  readonly folder = Deno.makeTempDirSync({ prefix: "soak-" });
  readonly socket = `${this.folder}/control.sock`;
  readonly #child: Deno.ChildProcess;

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
    return await runLine(serial, line);
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

export async function appears(path: string): Promise<void> {
  const deadline = Date.now() + START_PATIENCE_MS;
  while (!await Deno.lstat(path).then(() => true, () => false)) {
    if (Date.now() > deadline) throw new Error(`Cannot wait for "${path}" any longer`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
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
