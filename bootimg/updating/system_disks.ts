/**
 * The systems on all the disks that the host starts from: the one that it was started from, and the
 * other half of a mirror. Each disk is whole by itself, so each gets the same.
 *
 * @module
 */
import type { BootState, SlotName, SystemName } from "../slots/boot_state.ts";
import {
  freeSlot,
  markGood,
  type NewSystem,
  readSystems,
  type SlotDisk,
  type Systems,
  takeState,
  tryNext,
  tryNothing,
  writeSlot,
} from "../slots/slots.ts";

/** Finds the disks, the one that was started from first; none if that cannot be updated. */
export type FindDisks = () => Promise<readonly SlotDisk[]>;

export class SystemDisks {
  readonly #find: FindDisks;
  readonly #log: (text: string) => void;

  constructor(find: FindDisks, log: (text: string) => void) {
    this.#find = find;
    this.#log = log;
  }

  /** What the disk that was started from tells; null where there is none with slots. */
  async read(): Promise<Systems | null> {
    const [own] = await this.#find();
    return own ? await readSystems(own) : null;
  }

  /** A slot that no disk needs; null where there is none. */
  async free(running: SystemName | null): Promise<SlotName | null> {
    const states = await Promise.all((await this.#find()).map(readSystems));
    const free = states.map(({ state }) => freeSlot(state, running));
    return free.length > 0 && free.every((it) => it === free[0]) ? free[0] : null;
  }

  /** Writes a system to a slot of each disk. */
  async write(
    slot: SlotName,
    system: Omit<NewSystem, "onProgress"> & { onProgress: (bytes: number, total: number) => void },
  ): Promise<void> {
    const disks = await this.#find();
    const total = disks.length * system.facts.bytes;
    for (const [i, disk] of disks.entries()) {
      const onProgress = (bytes: number) =>
        system.onProgress(i * system.facts.bytes + bytes, total);
      await writeSlot(disk, slot, { ...system, onProgress });
    }
  }

  /** The disk that was started from is the last: until then, the next start is as it was. */
  async tryNext(slot: SlotName): Promise<void> {
    for (const disk of (await this.#find()).toReversed()) await tryNext(disk, slot);
  }

  async tryNothing(): Promise<void> {
    for (const disk of await this.#find()) await tryNothing(disk);
  }

  /** What the disk that was started from says first holds, wherever the power goes. */
  async markGood(system: SystemName): Promise<void> {
    const [own, ...others] = await this.#find();
    if (!own) throw new Error("Cannot keep the system: the disk that it started from is gone");
    await markGood(own, system);
    await this.#follow(own, others);
  }

  /**
   * Has the other disks start as the one does that was started from: the loader notes what it tries on
   * that one alone, and a power cut may have come between the two.
   */
  async align(): Promise<void> {
    const [own, ...others] = await this.#find();
    if (own) await this.#follow(own, others);
  }

  async #follow(own: SlotDisk, others: readonly SlotDisk[]): Promise<void> {
    const { state, slots } = await readSystems(own);
    for (const disk of others) {
      try {
        const its = await readSystems(disk);
        if (isSame(its.state, state)) continue;
        const { good } = state;
        if (good !== "image" && its.slots[good]?.sha256 !== slots[good]?.sha256) {
          this.#log(`${disk.path} has another system in slot ${good}; it stays as it is`);
        } else await takeState(disk, state);
      } catch (error) {
        this.#log(`${disk.path}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
}

function isSame(one: BootState, other: BootState): boolean {
  return one.good === other.good && one.try === other.try && one.tried === other.tried;
}
