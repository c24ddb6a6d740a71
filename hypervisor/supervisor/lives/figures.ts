/**
 * Looks at what running guests' devices count, for as long as somebody listens.
 *
 * @module
 */
import type { DiskFigures, Figures, MemoryFigures, NetFigures } from "../api/schemas.ts";
import type { EventHub } from "../events.ts";
import type { DeviceReports } from "./control_client.ts";
import type { GuestLife } from "./guest_life.ts";
import type { Run } from "./run.ts";
import { ADDED_MEMORY, BALLOON } from "./vm_config.ts";

/** Between two looks. */
export const LOOK_MS = 3_000;
/** How many looks are kept for those who come later. */
export const KEPT_LOOKS = 60;
const MIB = 1024 * 1024;

type Report = Record<string, unknown>;

/** A count out of a report, which a guest may have had its hands in. */
function count(value: unknown): number {
  return typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : 0;
}

function maybe(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
}

function inside(report: Report | undefined, name: string): Report {
  const value = report?.[name];
  return typeof value === "object" && value !== null ? value as Report : {};
}

function diskFigures(report: Report): DiskFigures {
  const { reads, readBytes, writes, writtenBytes, errors } = report;
  return {
    reads: count(reads),
    readBytes: count(readBytes),
    writes: count(writes),
    writtenBytes: count(writtenBytes),
    errors: count(errors),
  };
}

function netFigures(report: Report): NetFigures {
  const [received, sent] = [inside(report, "received"), inside(report, "sent")];
  return {
    receivedFrames: count(received.frames),
    receivedBytes: count(received.bytes),
    sentFrames: count(sent.frames),
    sentBytes: count(sent.bytes),
    dropped: count(received.dropped),
  };
}

function memoryFigures(reports: DeviceReports): MemoryFigures {
  const { totalBytes, availableBytes } = inside(reports[BALLOON], "statistics");
  const mib = (bytes: unknown) => {
    const value = maybe(bytes);
    return value === null ? null : Math.round(value / MIB);
  };
  return {
    balloonMiB: maybe(reports[BALLOON]?.actualMiB),
    addedMiB: maybe(reports[ADDED_MEMORY]?.pluggedMiB),
    totalMiB: mib(totalBytes),
    availableMiB: mib(availableBytes),
  };
}

/** What a VMM's reports say of the guest's own devices, by their ids; of what else there is, nothing. */
export function figuresOf(
  guest: { id: string; at: number },
  reports: DeviceReports,
  run: Run,
): Figures {
  const disks: Figures["disks"] = {};
  const nets: Figures["nets"] = {};
  for (const [name, report] of Object.entries(reports)) {
    const device = run.device(name);
    if (device?.kind === "disk") disks[device.id] = diskFigures(report);
    else if (device?.kind === "net") nets[device.id] = netFigures(report);
  }
  return { ...guest, disks, nets, memory: memoryFigures(reports) };
}

export interface FigureWatchOptions {
  events: EventHub;
  lives: () => Iterable<GuestLife>;
  /** Between two looks; tests are less patient. */
  everyMs?: number;
}

/** Looks regularly, keeps the last looks, and tells them as events. */
export class FigureWatch {
  readonly #options: FigureWatchOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #kept = new Map<string, Figures[]>();
  /** Guests whose VMM has not answered yet. */
  readonly #asked = new Set<string>();

  constructor(options: FigureWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), options.everyMs ?? LOOK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** The last looks at a guest, oldest first; gaps are where nobody listened. */
  recent(id: string): Figures[] {
    return this.#kept.get(id) ?? [];
  }

  #look() {
    const lives = new Map([...this.#options.lives()].map((life) => [life.record.id, life]));
    for (const id of this.#kept.keys()) if (!lives.get(id)?.isUp) this.#kept.delete(id);
    if (this.#options.events.listeners === 0) return;
    for (const [id, life] of lives) {
      if (life.state !== "running" || this.#asked.has(id)) continue;
      this.#asked.add(id);
      // One that does not answer is asked again; if it is not well, its state will tell.
      this.#lookAt(life).catch(() => {}).finally(() => this.#asked.delete(id));
    }
  }

  async #lookAt(life: GuestLife) {
    const { process } = life;
    if (process === null) return;
    const reports = await process.devices();
    // It may have ended while it was asked, and another begun.
    if (life.process !== process) return;
    const { id } = life.record;
    const figures = figuresOf({ id, at: Date.now() }, reports, process.run);
    this.#kept.set(id, [...this.recent(id).slice(1 - KEPT_LOOKS), figures]);
    this.#options.events.publish({ name: "figures", data: figures });
  }
}
