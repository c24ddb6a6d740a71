/**
 * Our VMM as the supervisor has one ready: started, and not yet told what to run.
 *
 * @module
 */
import { vmmCommand } from "../../hypervisor/supervisor/vmm_command.ts";
import { ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { type Forked, goOn } from "../../hypervisor/vmm/testing/passing_connection.ts";
import { TINY_MARKER } from "./guest_files.ts";

/** After its start it waits as long for a guest, at the least; in milliseconds. */
const WAITS_MS = 1000;
const LOOK_AGAIN_MS = 20;
const PATIENCE_MS = 120_000;

export class WaitingVmm implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #folder: string;
  readonly #socket: string;
  #order: Promise<unknown> = Promise.resolve();

  private constructor(vmm: string) {
    this.#folder = Deno.makeTempDirSync({ prefix: "waiting-" });
    this.#socket = `${this.#folder}/control.sock`;
    const { program, args, env } = vmmCommand(vmm);
    this.#child = new Deno.Command(program, {
      args: [...args, "--wait", "--control", this.#socket],
      ...{ env, clearEnv: true, stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
  }

  /** Resolves when it waits. */
  static async start(vmm: string): Promise<WaitingVmm> {
    const waiting = new WaitingVmm(vmm);
    const deadline = performance.now() + PATIENCE_MS;
    while (!await exists(waiting.#socket)) {
      if (performance.now() > deadline) throw new Error("Cannot measure a start: no VMM waits");
      await wait(LOOK_AGAIN_MS);
    }
    await wait(WAITS_MS);
    return waiting;
  }

  /** Milliseconds from telling it what to run to the guest's first instructions, which send a byte. */
  async run(guest: { cpus: number; memoryMiB: number; kernel: string }): Promise<number> {
    const began = performance.now();
    const config = { name: "tiny", cmdline: "", disks: [], nets: [], ...guest };
    using order = await ControlConnection.open(this.#socket, { op: "run", config });
    const { ok, error } = await order.line();
    if (!ok) throw new Error(`Cannot measure a start: ${error}`);
    using serial = await ControlConnection.open(this.#socket, { op: "serial" });
    await serial.line();
    await serial.until(TINY_MARKER);
    return performance.now() - began;
  }

  /** Milliseconds from telling it what to run to the answer that the guest does. */
  async order(what: Record<string, unknown>): Promise<number> {
    const began = performance.now();
    using order = await ControlConnection.open(this.#socket, { op: "run", ...what });
    const { ok, error } = await order.line();
    if (!ok) throw new Error(`Cannot measure: ${error}`);
    return performance.now() - began;
  }

  /** Milliseconds until a guest goes on here from where another was forked. */
  async goOnFrom(forked: Forked, config: unknown): Promise<number> {
    const began = performance.now();
    const { ok, error } = await goOn(this.#socket, forked, config);
    if (!ok) throw new Error(`Cannot measure a fork: ${error}`);
    return performance.now() - began;
  }

  /** Where it is told, and asked. */
  get socket(): string {
    return this.#socket;
  }

  /** Has it wait for a guest from another VMM, which is sent or handed over; the socket for that. */
  async expect(how: "receive" | "upgrade"): Promise<string> {
    const socket = `${this.#folder}/expected.sock`;
    this.#order = this.order({ [how]: socket });
    // Who sends is told why it cannot, and waits for this one no more.
    this.#order.catch(() => {});
    while (!await exists(socket)) await wait(LOOK_AGAIN_MS);
    return socket;
  }

  /** Resolves when what it was told to expect runs here; throws where it does not. */
  async runs(): Promise<void> {
    await this.#order;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // Its guest is another's by now, and it has ended.
    }
    await this.#child.status;
    await Deno.remove(this.#folder, { recursive: true });
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
