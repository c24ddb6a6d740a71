/**
 * How VMMs that pretend give a guest to each other: the steps of `vmm/migrate/`, with lines for its frames,
 * and bytes for memory that nobody looks at.
 *
 * @module
 */
import { dirname, join } from "@std/path";
import type { ChangedRanges, GuestConfig, ReceivingPhase, SendRequest } from "../../vmm/control.ts";
import { LineReader } from "../lives/lines.ts";
import type { FakeLocks } from "./fake_locks.ts";

const MEMORY_BYTES = 1 << 20;
const PARTS = 8;

type Say = (message: unknown) => Promise<void>;

function speaker(connection: Deno.Conn): Say {
  return async (message) => {
    const bytes = new TextEncoder().encode(JSON.stringify(message) + "\n");
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The one that waits for a guest. */
export class FakeReceiver {
  phase: ReceivingPhase = "listening";
  handOver: string | undefined;
  readonly #taken = Promise.withResolvers<void>();
  readonly #words: ReadonlySet<string>;

  readonly #locks: FakeLocks;

  constructor(
    socket: string,
    { words, locks }: { words: ReadonlySet<string>; locks: FakeLocks },
  ) {
    this.#words = words;
    this.#locks = locks;
    const listener = Deno.listen({ transport: "unix", path: socket });
    (async () => {
      const connection = await listener.accept();
      listener.close();
      await this.#receive(connection);
    })().catch((error) => {
      if (this.phase === "ready") this.phase = "undecided";
      else this.#taken.reject(error);
    });
  }

  /** Resolves when the guest is this one's; rejects where it will not be. */
  get taken(): Promise<void> {
    return this.#taken.promise;
  }

  /** Whether it answers nobody. */
  get isMute(): boolean {
    return this.#words.has(this.phase === "taken" ? "mute-there" : `mute-${this.phase}`);
  }

  async #receive(connection: Deno.Conn) {
    const words = this.#words;
    const say = speaker(connection);
    const lines = new LineReader(connection, { longest: 1 << 20 });
    const hear = async () => {
      const line = await lines.next();
      if (line === null) throw new Error("The other VMM is gone");
      return JSON.parse(line);
    };
    this.phase = "greeting";
    ({ hello: this.handOver } = await hear());
    if (words.has("no-cpu")) {
      await say({ failed: "Cannot run the guest: the CPU has no avx512f" });
      throw new Error("the CPU has no avx512f");
    }
    await say({ welcome: true });
    this.phase = "receiving";
    let left = MEMORY_BYTES - lines.rest().length;
    while (left > 0) {
      const bytes = await lines.read();
      if (bytes === null) throw new Error("The other VMM is gone");
      left -= bytes.length;
    }
    if (words.has("dies-before-ready")) Deno.kill(Deno.pid, "SIGKILL");
    this.phase = "ready";
    await say({ ready: true });
    const { go } = await hear();
    if (words.has("dies-at-word")) Deno.kill(Deno.pid, "SIGKILL");
    if (go !== true) throw new Error("The other VMM gave up");
    this.#locks.take();
    this.phase = "taken";
    this.#taken.resolve();
    if (words.has("silent-receiver")) return connection.close();
    await say({ runs: true });
    connection.close();
  }

  decide(handOver: string): void {
    if (this.phase !== "undecided" || handOver !== this.handOver) {
      throw new Error(`Cannot take the guest over: it is ${this.phase}`);
    }
    this.#locks.take();
    this.phase = "taken";
    this.#taken.resolve();
  }
}

export interface FakeSendOptions {
  request: SendRequest;
  config: GuestConfig;
  words: ReadonlySet<string>;
  locks: FakeLocks;
  /** Where the control socket is. */
  control: string;
  /** Messages to whoever asked. */
  tell: Say;
  /** Resolves when whoever asked says so; rejects when they are gone. */
  go: Promise<void>;
  /** The guest stands still: the last that it wrote. */
  held(): void;
  resumed(): void;
}

/** Gives the guest away; true where it is given. */
export async function fakeSend(options: FakeSendOptions): Promise<boolean> {
  const { request, words, tell, go, control } = options;
  const handOver = crypto.getRandomValues(new Uint8Array(16)).toHex();
  let isGone = false;
  go.catch(() => isGone = true);
  const connection = await Deno.connect({ transport: "unix", path: request.socket });
  let isGiven = false;
  try {
    const say = speaker(connection);
    const lines = new LineReader(connection, { longest: 1 << 20 });
    const hear = async () => {
      const line = await lines.next();
      if (line === null) throw new Error("The other VMM is gone");
      const said = JSON.parse(line);
      if (said.failed) throw new Error(said.failed);
      return said;
    };
    const sending = (phase: string, done: number) =>
      tell({
        sending: {
          ...{ phase, doneBytes: done, totalBytes: MEMORY_BYTES, rounds: 1 },
          remainingBytes: MEMORY_BYTES - done,
          wireBytes: wireBytes(request, done),
        },
      });
    await say({ hello: handOver });
    await hear();
    if (words.has("writes-fast") && !isPostCopy(request)) {
      throw new Error("it changes its memory faster than that can be sent");
    }
    const part = new Uint8Array(MEMORY_BYTES / PARTS);
    for (let i = 0; i < PARTS; i++) {
      if (isGone) throw new Error("its caller has gone");
      for (let at = 0; at < part.length;) at += await connection.write(part.subarray(at));
      await sending("moving", (i + 1) * part.length);
      if (words.has("slow-memory")) await pause(100);
    }
    options.held();
    await tell({ held: true });
    await hear();
    await go;
    if (words.has("slow-go")) await pause(400);
    if (words.has("dies-at-go")) Deno.kill(Deno.pid, "SIGKILL");
    if (words.has("changes-its-mind")) throw new Error("its disks have no room");
    Deno.writeTextFileSync(
      join(dirname(control), "handed_over.json"),
      JSON.stringify({ handOver, at: Date.now() }),
    );
    isGiven = true;
    options.locks.release();
    if (words.has("dies-when-written")) Deno.kill(Deno.pid, "SIGKILL");
    let isHeard = false;
    if (!words.has("mute-go")) {
      await say({ go: true });
      if (words.has("dies-when-said")) Deno.kill(Deno.pid, "SIGKILL");
      isHeard = await hear().then(() => true, () => false);
    }
    connection.close();
    const isLost = isPostCopy(request) && !isHeard;
    await tell({
      ...{ sent: handOver, isHeard, pauseMs: 12.5, rounds: 1, bytes: MEMORY_BYTES },
      wireBytes: wireBytes(request, MEMORY_BYTES),
      ...(isLost && { missingBytes: 4096 }),
    }).catch(() => {});
    // It is of no use to anybody, and stays until it is told to end.
    if (isLost) await new Promise(() => {});
    return true;
  } catch (error) {
    try {
      connection.close();
    } catch {
      // It was closed before.
    }
    if (isGiven) return true;
    options.resumed();
    await tell({ error: `Cannot send the guest: ${(error as Error).message}` }).catch(() => {});
    return false;
  }
}

/** Whether memory may follow the guest; what pretends has it go before all the same. */
function isPostCopy(request: SendRequest & { postCopy?: boolean }): boolean {
  return request.postCopy === true;
}

/** In how many bytes so much of memory goes, as it is told: half of them where they are packed. */
function wireBytes({ compress = "none" }: SendRequest, bytes: number): number {
  return compress === "none" ? bytes : bytes / 2;
}

/** What a guest writes to its disks, as it is told to, and what of it is asked for. */
export class FakeWrites {
  readonly #config: GuestConfig;
  readonly #locks: FakeLocks;
  #ranges: Map<string, [number, number][]> | null = null;

  constructor(config: GuestConfig, locks: FakeLocks) {
    this.#config = config;
    this.#locks = locks;
  }

  track(on: boolean): void {
    this.#ranges = on ? new Map() : null;
  }

  changes(device: string): ChangedRanges {
    if (this.#ranges === null) throw new Error("Cannot tell what was written: nobody looked");
    const all = this.#ranges.get(device) ?? [];
    // One at a time, so that whoever asks has to go on.
    const [first, ...rest] = all;
    this.#ranges.set(device, rest);
    const leftBytes = rest.reduce((sum, [, length]) => sum + length, 0);
    const index = Number(device.slice("block".length));
    const { size: sizeBytes } = Deno.statSync(this.#config.disks[index].path);
    return { ranges: first === undefined ? [] : [first], leftBytes, sizeBytes };
  }

  write(disk: number, position: number, text: string): void {
    this.#locks.check();
    using file = Deno.openSync(this.#config.disks[disk].path, { write: true });
    const bytes = new TextEncoder().encode(text);
    file.seekSync(position, Deno.SeekMode.Start);
    file.writeSync(bytes);
    const name = `block${disk}`;
    const ranges = this.#ranges?.get(name) ?? [];
    ranges.push([position, bytes.length]);
    this.#ranges?.set(name, ranges);
  }
}
