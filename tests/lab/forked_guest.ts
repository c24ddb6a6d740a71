/**
 * A VMM that waits and goes on from a fork; a test talks to its guest through the control socket.
 *
 * @module
 */
import { readAt } from "../../hypervisor/sys/positioned_io.ts";
import { length } from "../../hypervisor/sys/files.ts";
import { decodeGuest } from "../../hypervisor/vmm/snapshot/saved_guest.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { type Forked, goOn } from "../../hypervisor/vmm/testing/passing_connection.ts";
import { VMM } from "./running_guest.ts";

/** What there is of the guest's machine, as a configuration for another. */
export function configOf({ descriptors: [fd] }: Forked) {
  const bytes = new Uint8Array(length(fd));
  readAt(fd, bytes, 0);
  return decodeGuest(bytes).config;
}

export class ForkedGuest implements AsyncDisposable {
  readonly socket: string;
  readonly #vmm: Deno.ChildProcess;
  #serial: ControlConnection | undefined;

  /** Starts a VMM whose socket is in `folder`. */
  constructor(folder: string, name: string) {
    this.socket = `${folder}/${name}.sock`;
    this.#vmm = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-config", "--no-lock", "--no-check", VMM],
        ...["--wait", "--control", this.socket],
      ],
    }).spawn();
  }

  get pid(): number {
    return this.#vmm.pid;
  }

  /** Returns once it waits to be told what to run. */
  async waits(): Promise<void> {
    while (!await Deno.stat(this.socket).then(() => true, () => false)) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await ask(this.socket, { op: "status" });
  }

  /** How long it took to have a guest that runs, in milliseconds. */
  async goOn(forked: Forked, config: unknown): Promise<number> {
    const begin = performance.now();
    const { ok, error } = await goOn(this.socket, forked, config);
    if (!ok) throw new Error(error);
    const took = performance.now() - begin;
    this.#serial = await ControlConnection.open(this.socket, { op: "serial" });
    await this.#serial.line();
    return took;
  }

  /** Runs a command at the prompt that it has gone on with; what it printed. */
  async run(command: string): Promise<string> {
    await this.#serial!.send(`echo BEG''IN; ${command}; echo EN''D\n`);
    await this.#serial!.until("BEGIN\r\n");
    return (await this.#serial!.until("END\r\n")).slice(0, -5).replaceAll("\r", "").trim();
  }

  /** KiB of its RAM, as the kernel counts them. */
  memory(): Record<"Rss" | "Pss" | "Shared_Dirty" | "Private_Dirty", number> {
    const sums = { Rss: 0, Pss: 0, Shared_Dirty: 0, Private_Dirty: 0 };
    let isRam = false;
    for (const line of Deno.readTextFileSync(`/proc/${this.pid}/smaps`).split("\n")) {
      if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isRam = line.includes("guest-ram");
      const [, key, value] = /^(\w+): +(\d+) kB/.exec(line) ?? [];
      if (isRam && key in sums) sums[key as keyof typeof sums] += Number(value);
    }
    return sums;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#serial?.[Symbol.dispose]();
    this.#serial = undefined;
    try {
      this.#vmm.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#vmm.status;
  }
}
