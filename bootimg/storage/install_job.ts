/**
 * An installation that is under way, and what became of it.
 *
 * @module
 */
import type { Installation } from "../../hypervisor/supervisor/api/storage_schemas.ts";
import type { Ground } from "./ground.ts";
import { install, type InstallOptions } from "./install.ts";

export interface InstallJobOptions
  extends Omit<InstallOptions, "signal" | "onPhase" | "onProgress"> {
  /** What the target was confirmed by. */
  confirm: string;
}

export class InstallJob {
  /** Resolves when it has ended, however. */
  readonly done: Promise<void>;
  readonly #abort = new AbortController();
  #told: Installation;

  constructor(ground: Ground, options: InstallJobOptions) {
    const { confirm, ...rest } = options;
    this.#told = {
      ...{ state: "running", disk: rest.target.name, confirm, phase: "Beginning", error: null },
      ...{ doneBytes: 0, totalBytes: 0, canCancel: true },
    };
    this.done = this.#run(ground, rest);
  }

  get told(): Installation {
    return this.#told;
  }

  /** Asks for it to be given up; false where it is too late for that. */
  cancel(): boolean {
    if (this.#told.state !== "running" || !this.#told.canCancel) return false;
    this.#abort.abort(new Error("It was cancelled"));
    return true;
  }

  async #run(ground: Ground, options: Omit<InstallJobOptions, "confirm">): Promise<void> {
    const change = (to: Partial<Installation>) => this.#told = { ...this.#told, ...to };
    try {
      await install(ground, {
        ...options,
        signal: this.#abort.signal,
        onPhase: (phase, { final = false } = {}) => change({ phase, canCancel: !final }),
        onProgress: (doneBytes, totalBytes) => change({ doneBytes, totalBytes }),
      });
      change({ state: "done", phase: "", canCancel: false });
      options.log(`installed on ${options.target.path}`);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      options.log(`the installation on ${options.target.path} ended: ${message}`);
      change(
        this.#abort.signal.aborted
          ? { state: "cancelled", canCancel: false }
          : { state: "failed", canCancel: false, error: message.slice(0, 1000) },
      );
    }
  }
}
