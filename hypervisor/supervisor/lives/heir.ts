/**
 * The VMM that is to go on with a running guest in another's place (vmm/upgrade/). Until it does, its
 * directory is `next` in the guest's; once the guest is its own it moves its control socket up from there by
 * itself, and what is left of `next` follows. So whoever finds `next` knows that a hand-over was under way,
 * and which two there are.
 *
 * @module
 */
import { join } from "@std/path";
import { delay } from "@std/async";
import { identify, isAlive, killProcess, type ProcessId, reapChild } from "../../sys/processes.ts";
import type { Status } from "../../vmm/control.ts";
import { removeIfThere, writeFileDurably } from "../durable.ts";
import { messageOf } from "../log.ts";
import { askVmm, statusOf } from "./control_client.ts";
import type { VmmPool } from "./vmm_pool.ts";
import type { VmmCommand } from "./vmm_process.ts";
import { startVmm } from "./vmm_start.ts";
import { ProcessFile, readMessage } from "./wire.ts";

const POLL_MS = 5;
/** A VMM that does not wait by then never will; generous, for emulated hosts. */
const START_MS = 120_000;
/** How long one may take to decide whose the guest is when nobody asks any more; far longer than it does. */
const SETTLE_MS = 60_000;

export class Heir {
  readonly id: ProcessId;
  /** The guest's. */
  readonly #directory: string;

  private constructor(directory: string, id: ProcessId) {
    this.#directory = directory;
    this.id = id;
  }

  /** Starts a VMM that is to wait, for the guest in `directory`, or takes one that does. */
  static start(
    directory: string,
    options: { command: VmmCommand; pool: VmmPool; cgroup: string },
  ): Heir {
    const next = nextOf(directory);
    // There is one at a time.
    Deno.mkdirSync(next, { mode: 0o700 });
    return new Heir(directory, startVmm(next, options).id);
  }

  /** The one that an earlier supervisor started; null where there is none. */
  static async find(directory: string): Promise<Heir | null> {
    const next = nextOf(directory);
    let id: ProcessId | null = readMessage(ProcessFile, join(next, "process.json"));
    // The supervisor ended between starting it and writing down which process it is.
    id ??= await ask(join(next, "control.sock")).then((status) => status && identify(status.pid));
    return id === null ? null : new Heir(directory, id);
  }

  /** Where it is to listen for the other VMM. */
  get socket(): string {
    return join(nextOf(this.#directory), "upgrade.sock");
  }

  /** Tells it what is to come; resolves when it listens, and throws where it will not. */
  async expect(signal: AbortSignal): Promise<void> {
    const next = nextOf(this.#directory);
    const control = join(next, "control.sock");
    const deadline = Date.now() + START_MS;
    let refusal: string | undefined;
    let isTold = false;
    while (true) {
      signal.throwIfAborted();
      const status = await ask(control);
      if (status?.receiving?.phase === "listening") return;
      if (refusal !== undefined) throw new Error(`The new VMM cannot take the guest: ${refusal}`);
      if (!this.isAlive) throw new Error("The new VMM ended before it could take the guest");
      if (Date.now() > deadline) throw new Error("The new VMM does not start");
      if (status !== null && !isTold) {
        isTold = true;
        // Its answer is for the other VMM as well, which is where it is waited for.
        const becomes = this.#directory;
        askVmm(control, { op: "run", folder: next, upgrade: this.socket, becomes })
          .catch((error) => refusal = messageOf(error));
      }
      await delay(POLL_MS);
    }
  }

  get isAlive(): boolean {
    // A child's end has to be taken note of, or it stays as a zombie.
    reapChild(this.id.pid);
    return isAlive(this.id);
  }

  /** Whether the guest is its own. */
  async #hasGuest(): Promise<boolean> {
    const { pid } = this.id;
    return (await ask(join(this.#directory, "control.sock")))?.pid === pid;
  }

  /**
   * Resolves when it is known whose the guest is, with true where it is this one's; false only once this one
   * is no more. The two VMMs find that out among themselves, also where one of them is killed.
   */
  async settle(): Promise<boolean> {
    const deadline = Date.now() + SETTLE_MS;
    while (this.isAlive) {
      if (await this.#hasGuest()) return true;
      const status = await ask(join(nextOf(this.#directory), "control.sock"));
      if (status !== null && status.state !== "waiting") this.#moveUp();
      const phase = status?.receiving?.phase;
      // To nobody who might hand over a guest has it spoken yet, or the other would have gone on by now.
      const isIdle = status?.state === "waiting" && (phase === undefined || phase === "listening");
      if (isIdle || Date.now() > deadline) killProcess(this.id);
      await delay(POLL_MS);
    }
    return this.#hadGuest;
  }

  /** It has the guest; its socket is where that is, also where it could not do that by itself. */
  #moveUp(): void {
    const name = "control.sock";
    try {
      Deno.renameSync(join(nextOf(this.#directory), name), join(this.#directory, name));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** Whether it had moved to the guest's directory before it ended. */
  get #hadGuest(): boolean {
    try {
      Deno.statSync(join(nextOf(this.#directory), "control.sock"));
      return false;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    // One that ends without a guest says so there.
    try {
      Deno.statSync(join(nextOf(this.#directory), "exit.json"));
      return false;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return true;
      throw error;
    }
  }

  /** It goes on in the other's place: from here on, whoever looks for the guest's VMM finds this one. */
  succeed(): void {
    const next = nextOf(this.#directory);
    writeFileDurably(join(this.#directory, "process.json"), JSON.stringify(this.id));
    try {
      Deno.renameSync(join(next, "log"), join(this.#directory, "log"));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    removeIfThere(next);
  }

  /** Ends it; the guest is, or stays, the other's, unless it has taken it: see {@linkcode settle}. */
  async dismiss(): Promise<void> {
    killProcess(this.id);
    while (this.isAlive) await delay(POLL_MS);
    removeIfThere(nextOf(this.#directory));
  }
}

/** Where a hand-over was under way when the supervisor ended, makes its outcome that of the directory. */
export async function settleHeir(directory: string): Promise<void> {
  const heir = await Heir.find(directory);
  if (heir !== null && await heir.settle()) heir.succeed();
  removeIfThere(nextOf(directory));
}

function nextOf(directory: string): string {
  return join(directory, "next");
}

/** Null where nobody answers. */
async function ask(control: string): Promise<Status | null> {
  try {
    return statusOf(await askVmm(control, { op: "status" }));
  } catch {
    return null;
  }
}
