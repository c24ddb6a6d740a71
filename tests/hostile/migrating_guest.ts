/**
 * A guest that counts, on its way from one VMM to another, with somebody in between who can cut it off.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import type { SendRequest } from "../../hypervisor/vmm/control.ts";
import { encodeFrame, FrameHeader, KINDS } from "../../hypervisor/vmm/migrate/frames.ts";
import {
  bitmapBytes,
  PackedPlace,
  RECORD,
  StreamRecord,
  StreamStart,
} from "../../hypervisor/vmm/move/stream_format.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { endOf, startVmm, type VmmEnd } from "../../hypervisor/vmm/testing/vmm_process.ts";
import type { Case } from "./guest_program.ts";
import { afterLine, judge } from "./hostile_guest.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A VMM that waits for a guest. */
export class Waiting implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "receiver-" });
  readonly control = `${this.folder}/control`;
  readonly socket = `${this.folder}/migrate`;
  readonly #process = startVmm(["--wait", "--control", this.control]);
  readonly #end = endOf(this.#process);
  /** What it answered to its order, which is in the end. */
  // deno-lint-ignore no-explicit-any
  answer: Promise<any> = Promise.resolve();

  /** Returns once it listens. */
  static async started(config?: unknown): Promise<Waiting> {
    const vmm = new Waiting();
    await exists(vmm.control);
    vmm.answer = ask(vmm.control, { op: "run", receive: vmm.socket, config });
    // The socket is there a moment before somebody listens at it.
    await vmm.until("listening");
    return vmm;
  }

  async phase(): Promise<string | undefined> {
    const { status } = await ask(this.control, { op: "status" });
    return status.receiving?.phase ?? status.state;
  }

  async until(phase: string): Promise<void> {
    while (await this.phase() !== phase) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /**
   * The guest that came runs here, to its end: it is typed to, has what else `meanwhile` does, says its own
   * words, which are right if they are those of `cases`, and powers off.
   */
  async runs(
    options: { meanwhile?: () => Promise<void>; cases?: readonly Case[] } = {},
  ): Promise<void> {
    assertEquals((await this.answer).status?.state, "running");
    const serial = await Deno.connect({ transport: "unix", path: this.control });
    await serial.write(new TextEncoder().encode('{"op":"serial"}\n'));
    const output = await afterLine(serial, async () => {
      await serial.write(new TextEncoder().encode("!"));
      await options.meanwhile?.();
    });
    serial.close();
    const { code, errors } = await this.ended();
    for (const { name, wrong } of judge(options.cases ?? [], output)) {
      assertEquals(wrong, [], `${name}: ${errors}`);
    }
    assertEquals(code, 0, errors);
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async ended(): Promise<VmmEnd> {
    return await this.#end;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.kill();
    } catch {
      // It has ended.
    }
    await this.#end;
    await this.answer.catch(() => {});
    Deno.removeSync(this.folder, { recursive: true });
  }
}

async function exists(path: string): Promise<void> {
  for (;;) {
    try {
      Deno.lstatSync(path);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** Has a guest sent; what was said, without the progress. */
export async function send(
  control: string,
  request: Omit<SendRequest, "op">,
  // deno-lint-ignore no-explicit-any
): Promise<any[]> {
  using connection = await ControlConnection.open(control, { op: "send", ...request });
  const said = [];
  for (let line = await connection.line(); line; line = await connection.line()) {
    if (!line.sending) said.push(line);
  }
  return said;
}

/**
 * Carries bytes between two VMMs and knows what they are: before each frame, and in the middle of RAM
 * ("ram"), it asks whether to go on.
 */
export class Between implements Disposable {
  readonly socket: string;
  readonly #listener: Deno.UnixListener;
  /** What was about to be passed on, in order. */
  readonly seen: string[] = [];
  readonly done: Promise<unknown>;

  constructor(options: {
    folder: string;
    to: string;
    /** False where it is to be cut off there. */
    pass(what: string): boolean | Promise<boolean>;
    /** A frame that is said twice. */
    repeats?: string;
    /** What becomes of a frame's body, or of what is behind a record of packed pages ("packed"). */
    change?(what: string, body: Bytes): Bytes;
    /** How much of pages that are not packed is carried in a second; as much as there can be without. */
    bytesPerSecond?: number;
  }) {
    this.socket = `${options.folder}/between-${crypto.randomUUID().slice(0, 8)}`;
    this.#listener = Deno.listen({ transport: "unix", path: this.socket });
    this.done = this.#run(options);
  }

  async #run({ to, pass, repeats, change = (_, body) => body, bytesPerSecond = Infinity }: {
    to: string;
    bytesPerSecond?: number;
    pass(what: string): boolean | Promise<boolean>;
    repeats?: string;
    change?(what: string, body: Bytes): Bytes;
  }) {
    const sender = await this.#listener.accept();
    const receiver = await Deno.connect({ transport: "unix", path: to });
    let isOpen = true;
    const cut = () => {
      if (!isOpen) return;
      isOpen = false;
      for (const side of [sender, receiver]) side.close();
    };
    const ask = async (what: string) => {
      this.seen.push(what);
      return isOpen && await pass(what) && isOpen;
    };
    const carry = async (from: Deno.Conn, into: Deno.Conn) => {
      try {
        const stream = new Carrier(from, into);
        for (;;) {
          const header = await stream.take(FrameHeader.size);
          if (header === undefined) break;
          const { kind, length } = FrameHeader.at(header.buffer, 0);
          if (!await ask(KINDS[kind])) break;
          const body = await stream.take(length);
          if (body === undefined) break;
          const frame = encodeFrame(KINDS[kind], change(KINDS[kind], body));
          for (let times = KINDS[kind] === repeats ? 2 : 1; times > 0; times--) {
            await stream.put(frame);
          }
          if (KINDS[kind] === "hello" && !await ram(stream, { ask, change, bytesPerSecond })) {
            break;
          }
        }
      } catch {
        // One side is gone.
      }
      cut();
    };
    await Promise.all([carry(sender, receiver), carry(receiver, sender)]);
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}

async function ram(
  stream: Carrier,
  { ask, change, bytesPerSecond }: {
    bytesPerSecond: number;
    ask(what: string): Promise<boolean>;
    change(what: string, body: Bytes): Bytes;
  },
): Promise<boolean> {
  const start = await stream.take(StreamStart.size);
  if (start === undefined || !await ask("ram")) return false;
  await stream.put(start);
  for (let records = 0;; records++) {
    const header = await stream.take(StreamRecord.size);
    if (header === undefined) return false;
    const { kind, flags, length } = StreamRecord.at(header.buffer, 0);
    if (records === 3 && !await ask("more ram")) return false;
    await stream.put(header);
    if (kind === RECORD.END) return true;
    if (kind === RECORD.DATA) {
      await stream.copy(length);
      if (bytesPerSecond < Infinity) await pause(length / bytesPerSecond * 1000);
    }
    if (kind === RECORD.FOLLOW) await stream.copy(bitmapBytes(length));
    if (kind === RECORD.PACKED) {
      const packed = await stream.take(flags * PackedPlace.size + length);
      if (packed === undefined) return false;
      await stream.put(change("packed", packed));
    }
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

class Carrier {
  readonly #from: Deno.Conn;
  readonly #into: Deno.Conn;

  constructor(from: Deno.Conn, into: Deno.Conn) {
    this.#from = from;
    this.#into = into;
  }

  /** So many bytes; undefined at the end. */
  async take(length: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const n = await this.#from.read(bytes.subarray(at));
      if (n === null) return undefined;
      at += n;
    }
    return bytes;
  }

  async put(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#into.write(bytes.subarray(at));
  }

  async copy(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const bytes = await this.take(Math.min(left, 1 << 20));
      if (bytes === undefined) throw new Error("it ended");
      await this.put(bytes);
      left -= bytes.length;
    }
  }
}
