/**
 * Running guests go on in a VMM of the version that is installed now.
 *
 * @module
 */
import { delay } from "@std/async";
import type { Task } from "../api/schemas.ts";
import { problem } from "../problem.ts";
import { VERSION } from "../version.ts";
import { openControl } from "./control_client.ts";
import { type GuestLife, refuse } from "./guest_life.ts";
import type { Heir } from "./heir.ts";
import type { Launcher } from "./launcher.ts";
import type { Tasks, Work } from "./tasks.ts";
import type { VmmProcess } from "./vmm_process.ts";
import { parseMessage, UpgradeMessage } from "./wire.ts";

export interface UpgradesOptions {
  launcher: Launcher;
  tasks: Tasks;
  life(id: string): GuestLife;
}

const POLL_MS = 5;
/** How long the new VMM may take for its last word, while the guest stands still; far longer than it does. */
const GIVE_MS = 30_000;
/** How long the old one may take to be gone then. */
const GONE_MS = 30_000;

const PHASES: Readonly<Record<string, string>> = {
  greeting: "Asking the new VMM whether it can",
  moving: "Stopping the guest",
  asking: "Handing the guest's state over",
  giving: "Letting the new VMM run it",
};

export class Upgrades {
  readonly #options: UpgradesOptions;

  constructor(options: UpgradesOptions) {
    this.#options = options;
  }

  /** Begins to hand a guest over; with the task's end it runs in another VMM, or goes on as before. */
  begin(id: string): Task {
    const { life: lifeOf, tasks } = this.#options;
    const life = lifeOf(id);
    refuse("upgrade", life.phase);
    const { process } = life;
    if (process === null) {
      throw problem("busy", `Cannot upgrade "${life.record.name}": it is about to end`);
    }
    const { name } = life.record;
    const from = life.view().vmmVersion;
    const detail = from === null || from === VERSION ? VERSION : `${from} to ${VERSION}`;
    return tasks.begin(
      { kind: "upgrade", guest: { id, name }, detail },
      (work) => this.#upgrade(life, { process, work }),
    );
  }

  async #upgrade(life: GuestLife, { process, work }: { process: VmmProcess; work: Work }) {
    const heir = Promise.withResolvers<VmmProcess | null>();
    // Before the guest can be another VMM's: the end of this one is then not the guest's.
    life.heir = heir.promise;
    try {
      const next = await this.#handOver(life, { process, work });
      heir.resolve(next);
      // Who hears of the task's end is to find the guest as it is then.
      const deadline = Date.now() + GONE_MS;
      while (life.isUp && life.process !== next && !work.signal.aborted) {
        // It has nothing to do any more but to end.
        if (Date.now() > deadline) await process.kill();
        await delay(POLL_MS);
      }
    } finally {
      heir.resolve(null);
    }
  }

  /** The VMM that the guest goes on in; throws where it goes on in its own, and nothing else is left then. */
  async #handOver(
    life: GuestLife,
    { process, work }: { process: VmmProcess; work: Work },
  ): Promise<VmmProcess> {
    work.phase("Starting a new VMM");
    const heir = this.#options.launcher.heir(life.record.id);
    let failure: unknown;
    try {
      await heir.expect(work.signal);
      await this.#told(process, { heir, work });
    } catch (error) {
      failure = error;
    }
    // Whatever was said, or not: the two may have gone on without us.
    if (await heir.settle()) {
      heir.succeed();
      return process.succeededBy(heir.id);
    }
    await heir.dismiss();
    throw failure ?? new Error("The new VMM ended as soon as it had the guest");
  }

  /** Tells the guest's VMM, and hears how it goes; throws where it does not go, or nobody says how. */
  async #told(
    process: VmmProcess,
    { heir, work }: { heir: Heir; work: Work },
  ): Promise<void> {
    using control = await openControl(process.controlSocket, {
      op: "upgrade",
      socket: heir.socket,
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    work.signal.addEventListener("abort", control.close);
    if (work.signal.aborted) control.close();
    try {
      for (
        let line = await control.lines.next();
        line !== null;
        line = await control.lines.next()
      ) {
        const message = parseMessage(UpgradeMessage, line, "a VMM's message");
        if ("error" in message) throw new Error(message.error);
        if ("upgraded" in message) {
          work.stoodStill(message.pauseMs);
          return;
        }
        const { phase, doneBytes, totalBytes } = message.upgrading;
        // What is under way then cannot be given up any more.
        work.phase(PHASES[phase] ?? phase, { final: phase === "giving" });
        if (phase === "giving") timer ??= setTimeout(control.close, GIVE_MS);
        work.progress(doneBytes, totalBytes);
      }
    } catch (error) {
      work.signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      work.signal.removeEventListener("abort", control.close);
    }
    work.signal.throwIfAborted();
    throw new Error("The guest's VMM hung up");
  }
}
