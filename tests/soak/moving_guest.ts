/**
 * A guest that moves between two hosts, by their API alone.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import type { Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { SEGMENT_BRIDGE } from "../../scripts/bench_run/segment.ts";
import { MARKER } from "../../scripts/lab_pc/marker_initrd.ts";
import { ConsoleEnded, ConsoleSerial } from "./console_serial.ts";
import { runLine, within } from "./shell_line.ts";
import type { HostApi } from "./soak_host.ts";
import { DISKS_MIB, type Shell } from "./work.ts";

const START_PATIENCE_MS = 600_000;
const MOVE_PATIENCE_MS = 1_200_000;
const FAILURE_PATIENCE_MS = 10_000;
const LOOK_AGAIN_MS = 500;
const CONSOLE_TRIES = 5;
const NAME = "soak";
/** The usual one: for longer, only where memory changes faster than an emulated PC sends it. */
const MOVE = { allowedPauseMs: 300, force: true };

/** What it boots. */
export interface Boots {
  kernel: string;
  initrd: string;
}

export class MovingGuest implements Shell, Disposable {
  readonly id: string;
  #at: HostApi;
  #console: ConsoleSerial;

  private constructor(id: string, at: HostApi) {
    this.id = id;
    this.#at = at;
    this.#console = this.#openConsole();
  }

  #openConsole(): ConsoleSerial {
    return new ConsoleSerial(this.#at.connect("guestConsole", { id: this.id }));
  }

  /** Has a host make it, and start it; resolves when its shell listens. */
  static async start(at: HostApi, boots: Boots): Promise<MovingGuest> {
    const { client } = at;
    for (const kind of ["kernel", "initrd"] as const) {
      const file = await Deno.open(boots[kind]);
      const { size } = await file.stat();
      await client.upload({ kind, name: kind }, file.readable, { size });
    }
    const { id } = await client.call("createGuest", {
      body: {
        ...{ name: NAME, cpus: 1, memoryMiB: 384, agent: false },
        ...{ kernel: "kernel", initrd: "initrd" },
        // One that panics stays, and shows why. What it has freed is zeros, which need not be sent.
        cmdline: "console=ttyS0 quiet panic=0 init_on_free=1 stay",
        disks: DISKS_MIB.map((sizeMiB) => ({ sizeMiB })),
        nets: [{ bridge: SEGMENT_BRIDGE }],
      },
    });
    await client.call("startGuest", { params: { id } });
    const guest = new MovingGuest(id, at);
    await within(START_PATIENCE_MS, guest.#console.until(MARKER), "the guest's user space");
    return guest;
  }

  get at(): HostApi {
    return this.#at;
  }

  /** Runs a line in its shell, wherever it is; what it printed. */
  async command(line: string): Promise<string> {
    for (let tries = 1;; tries++) {
      try {
        return await runLine(this.#console, line);
      } catch (error) {
        if (!(error instanceof ConsoleEnded) || tries === CONSOLE_TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
        this.#console[Symbol.dispose]();
        this.#console = this.#openConsole();
      }
    }
  }

  /** Has it move; how that went. Where it did not, the guest is where it was. */
  async move(to: HostApi): Promise<Task> {
    const from = this.#at;
    const params = { id: this.id };
    const [peer] = await from.client.call("listPeers", {});
    const begun = await from.client.call("moveGuest", {
      params,
      body: { peer: peer.id, ...MOVE },
    });
    const task = await within(MOVE_PATIENCE_MS, ended(from, begun), "a move");
    if (task.state === "done") {
      this.#console[Symbol.dispose]();
      this.#at = to;
      this.#console = this.#openConsole();
    }
    const other = task.state === "done" ? from : to;
    assertEquals((await this.#at.client.call("getGuest", { params })).state, "running");
    assertEquals(await other.client.call("listGuests", {}), [], `it is at the ${other.side}, too`);
    return task;
  }

  /** Why it does not run any more, as the hosts that have it tell; null where it runs. */
  async failure(hosts: readonly HostApi[]): Promise<string | null> {
    // Whoever had its console may hear of its end before its supervisor does.
    for (const deadline = performance.now() + FAILURE_PATIENCE_MS; performance.now() < deadline;) {
      for (const { client } of hosts) {
        const guests = await client.call("listGuests", {}).catch(() => []);
        const failed = guests.find(({ state }) => state === "failed");
        if (failed !== undefined) return failed.error;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
    return null;
  }

  /** The last that it wrote. */
  get lastWords(): string {
    return this.#console.lastWords;
  }

  [Symbol.dispose](): void {
    this.#console[Symbol.dispose]();
  }
}

async function ended({ client }: HostApi, begun: Task): Promise<Task> {
  let task = begun;
  while (task.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    task = await client.call("getTask", { params: { id: task.id } });
  }
  return task;
}
