/**
 * QEMU's monitor protocol, as far as the benchmarks need it: commands and their answers, and events with
 * the time at which they came.
 *
 * @module
 */
import { ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";

const LOOK_AGAIN_MS = 20;
const PATIENCE_MS = 120_000;

type Answer = Record<string, unknown>;

export class Qmp implements Disposable {
  readonly #connection: ControlConnection;
  /** When each event came last. */
  readonly #came = new Map<string, number>();

  private constructor(connection: ControlConnection) {
    this.#connection = connection;
  }

  /** What makes a QEMU listen at `socket`. */
  static options(socket: string): string[] {
    return ["-qmp", `unix:${socket},server=on,wait=off`];
  }

  static async open(socket: string): Promise<Qmp> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!await Deno.lstat(socket).then(() => true, () => false)) {
      if (performance.now() > deadline) throw new Error(`Cannot reach QEMU at "${socket}"`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
    const qmp = new Qmp(await ControlConnection.open(socket));
    await qmp.#connection.line();
    await qmp.command("qmp_capabilities");
    return qmp;
  }

  /** Carries a command out; events that come before its answer are passed over. */
  async command(execute: string, args: Answer = {}): Promise<Answer> {
    await this.#connection.send(`${JSON.stringify({ execute, arguments: args })}\n`);
    for (;;) {
      const line = await this.#line(execute);
      if ("return" in line) return line.return as Answer;
      if ("error" in line) throw new Error(`Cannot ${execute}: ${JSON.stringify(line.error)}`);
    }
  }

  /** Returns when the event comes. */
  async event(name: string): Promise<void> {
    while ((await this.#line(name)).event !== name);
  }

  /** When an event that has come happened, by QEMU's clock; milliseconds since the epoch. */
  cameAt(name: string): number {
    const at = this.#came.get(name);
    if (at === undefined) throw new Error(`Cannot measure: QEMU did not tell of ${name}`);
    return at;
  }

  async #line(what: string): Promise<Answer> {
    const line = await this.#connection.line();
    if (line === undefined) throw new Error(`Cannot wait for "${what}": QEMU hung up`);
    if (typeof line.event === "string") this.#came.set(line.event, timeOf(line));
    return line;
  }

  /** What `query-migrate` tells once that has ended. */
  async migrated(): Promise<Answer> {
    for (;;) {
      const told = await this.command("query-migrate");
      if (told.status === "completed") return told;
      if (told.status === "failed" || told.status === "cancelled") {
        throw new Error(`Cannot migrate: ${JSON.stringify(told)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}

function timeOf({ timestamp }: Answer): number {
  const { seconds, microseconds } = timestamp as Record<string, number>;
  return seconds * 1000 + microseconds / 1000;
}
