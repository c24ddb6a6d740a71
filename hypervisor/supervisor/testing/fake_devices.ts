/**
 * The devices of a VMM that pretends: they count as time goes by, and change as they are told.
 *
 * @module
 */
import type { DiskConfig, GuestConfig, NetConfig, PlugConfig } from "../../vmm/control.ts";

type Report = Record<string, unknown>;

interface Pretended {
  report: Report;
  /** What can be changed of it. */
  changeable: readonly string[];
  isPlugged: boolean;
}

const MIB = 1024 * 1024;

function disk(config: DiskConfig): Pretended {
  const { path, readonly = false, rateLimit = {} } = config;
  const report = { path, readonly, rateLimit, reads: 0, readBytes: 0, writes: 0, writtenBytes: 0 };
  return { report, changeable: ["sizeBytes", "rateLimit"], isPlugged: false };
}

function net(config: NetConfig): Pretended {
  const { mac, linkUp = true } = config;
  const nothing = { frames: 0, bytes: 0, dropped: 0 };
  return {
    report: { mac, linkUp, received: nothing, sent: nothing },
    changeable: ["linkUp", "receiveLimit", "sendLimit", "announce"],
    isPlugged: false,
  };
}

/** Devices by the names that a VMM gives them. */
export class FakeDevices {
  readonly #devices = new Map<string, Pretended>();
  readonly #ports: number;
  readonly #memoryMiB: number;

  constructor(config: GuestConfig & { plugged?: Record<string, PlugConfig> }) {
    this.#ports = config.hotplugPorts ?? 0;
    this.#memoryMiB = config.memoryMiB;
    config.disks.forEach((it, i) => this.#devices.set(`block${i}`, disk(it)));
    config.nets.forEach((it, i) => this.#devices.set(`net${i}`, net(it)));
    for (const [name, device] of Object.entries(config.plugged ?? {})) {
      const made = "disk" in device ? disk(device.disk) : net(device.net);
      this.#devices.set(name, { ...made, isPlugged: true });
    }
    if (config.balloon) this.#add("balloon0", { targetMiB: config.balloon.targetMiB ?? 0 });
    const { hotplugMiB = 0, requestedMiB = 0 } = config.memory ?? {};
    if (hotplugMiB > 0) this.#add("mem0", { requestedMiB, regionMiB: hotplugMiB });
  }

  #add(name: string, report: Report) {
    this.#devices.set(name, {
      report,
      changeable: Object.keys(report).slice(0, 1),
      isPlugged: false,
    });
  }

  /** What each tells; all has gone on a little since the last time. */
  reports(): Record<string, Report> {
    return Object.fromEntries([...this.#devices].map(([name, { report }]) => {
      this.#goOn(name, report);
      return [name, structuredClone(report)];
    }));
  }

  #goOn(name: string, report: Report) {
    if (name.startsWith("block")) {
      report.reads = Number(report.reads) + 100;
      report.readBytes = Number(report.readBytes) + MIB;
      report.writes = Number(report.writes) + 50;
      report.writtenBytes = Number(report.writtenBytes) + MIB / 2;
    } else if (name.startsWith("net")) {
      for (const way of ["received", "sent"]) {
        const { frames, bytes, dropped } = report[way] as Record<string, number>;
        report[way] = { frames: frames + 10, bytes: bytes + 1500 * 10, dropped };
      }
    } else if (name === "balloon0") {
      report.actualMiB = report.targetMiB;
      const total = (this.#memoryMiB - Number(report.targetMiB)) * MIB;
      report.statistics = { totalBytes: total, availableBytes: total / 2, freeBytes: total / 4 };
      report.statisticsAt = Date.now();
    } else report.pluggedMiB = report.requestedMiB;
  }

  change(name: string, change: Record<string, unknown>): void {
    const device = this.#devices.get(name);
    if (device === undefined) {
      throw new RangeError(`Cannot change "${name}": the guest has no such device`);
    }
    const unknown = Object.keys(change).find((key) => !device.changeable.includes(key));
    if (unknown !== undefined) throw new TypeError(`Cannot change "${unknown}" of ${name}`);
    Object.assign(device.report, change);
  }

  plug(device: PlugConfig): string {
    const plugged = [...this.#devices.values()].filter(({ isPlugged }) => isPlugged).length;
    if (plugged >= this.#ports) {
      throw new RangeError(
        `Cannot plug a device in: all ${this.#ports} hot-plug ports are taken`,
      );
    }
    const [kind, made] = "disk" in device
      ? ["block", disk(device.disk)] as const
      : ["net", net(device.net)] as const;
    let n = 0;
    while (this.#devices.has(`${kind}${n}`)) n++;
    this.#devices.set(`${kind}${n}`, { ...made, isPlugged: true });
    return `${kind}${n}`;
  }

  /** Throws where the device is there for good. */
  refuseFixed(name: string): void {
    if (this.#devices.get(name)?.isPlugged) return;
    throw new RangeError(`Cannot unplug "${name}": it was there when the guest started, for good`);
  }

  takeOut(name: string): void {
    this.#devices.delete(name);
  }
}
