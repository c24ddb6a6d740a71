/**
 * Asks disks how they are, each hour, and lets those sleep that sleep.
 *
 * @module
 */
import type { Smart } from "../../hypervisor/supervisor/api/storage_schemas.ts";
import { confirmWord } from "./facts.ts";
import type { Ground } from "./ground.ts";
import { parseSmart, smartArguments } from "./smart.ts";

const LIMIT_MS = 30_000;

/** smartctl's exit code is a set of bits; it prints what it knows whichever are set. */
const ANY_CODE = Array.from({ length: 256 }, (_, code) => code);

export class Health {
  readonly #ground: Ground;
  readonly #log: (text: string) => void;
  /** By what confirms a disk: its name may be another's tomorrow. */
  readonly #told = new Map<string, Smart>();
  #asking: Promise<void> | null = null;

  constructor(ground: Ground, log: (text: string) => void) {
    this.#ground = ground;
    this.#log = log;
  }

  /** Asks all disks, one after the other. */
  ask(): Promise<void> {
    return this.#asking ??= this.#askAll().finally(() => this.#asking = null);
  }

  /** What disks told last, by their names now. */
  async byName(): Promise<Map<string, Smart>> {
    const disks = await this.#ground.look();
    const found = new Map<string, Smart>();
    for (const disk of disks) {
      const told = this.#told.get(confirmWord(disk, disks));
      if (told) found.set(disk.name, told);
    }
    return found;
  }

  async #askAll(): Promise<void> {
    const disks = await this.#ground.look();
    const words = new Set(disks.map((it) => confirmWord(it, disks)));
    for (const word of this.#told.keys()) if (!words.has(word)) this.#told.delete(word);
    for (const disk of disks) {
      // A virtual disk has nothing to tell, and asking it is an error in its host's log.
      if (disk.bus === "virtio" || disk.bus === "mmc") continue;
      try {
        const text = await this.#ground.run("smartctl", smartArguments(disk.path), {
          ...{ codes: ANY_CODE, limitMs: LIMIT_MS },
        });
        const smart = parseSmart(text, new Date().toISOString());
        // One that sleeps keeps what it told last.
        if (smart) this.#told.set(confirmWord(disk, disks), smart);
      } catch (error) {
        this.#log(error instanceof Error ? error.message : String(error));
      }
    }
  }
}
