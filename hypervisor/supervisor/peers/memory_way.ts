/**
 * The way that a guest's memory goes to another host.
 *
 * @module
 */
import { join } from "@std/path";
import type { PeerChannel } from "./channel.ts";
import type { DepartureOptions } from "./departure.ts";
import { ask, Done } from "./messages.ts";
import type { Pace } from "./pace.ts";
import { pipe } from "./pipe.ts";

const PREPARE_MS = 120_000;
/** How long a VMM takes to connect to where it is told to send its guest. */
const CONNECT_MS = 10_000;

/** A socket for the guest's VMM, and a connection to the other host's. */
export class MemoryWay implements Disposable {
  readonly socket: string;
  readonly #listener: Deno.UnixListener;
  readonly #channel: PeerChannel;

  private constructor(socket: string, channel: PeerChannel) {
    this.socket = socket;
    this.#channel = channel;
    this.#listener = Deno.listen({ transport: "unix", path: socket });
  }

  static async open(
    options: Pick<DepartureOptions, "move" | "life" | "ground" | "dial">,
    pace: Pace,
  ): Promise<MemoryWay> {
    const { move, life, ground } = options;
    const channel = await options.dial();
    try {
      await ask(channel, { op: "memory", move }, { answer: Done, withinMs: PREPARE_MS });
      const path = join(ground.launcher.directory(life.record.id), "send.sock");
      try {
        Deno.removeSync(path);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
      const memory = new MemoryWay(path, channel);
      void memory.#connect(pace);
      return memory;
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  async #connect(pace: Pace) {
    const timer = setTimeout(() => this.#stopListening(), CONNECT_MS);
    try {
      const vmm = await this.#listener.accept();
      clearTimeout(timer);
      this.#stopListening();
      await pipe(vmm, this.#channel, { pace: (bytes) => pace.take(bytes) });
    } catch {
      // Nobody came in time, or it was closed: the VMM says so itself.
      this.#channel.close();
    } finally {
      clearTimeout(timer);
    }
  }

  #stopListening() {
    try {
      this.#listener.close();
    } catch {
      // It was closed before.
    }
  }

  close(): void {
    this.#stopListening();
    this.#channel.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
