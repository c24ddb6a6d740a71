/**
 * A connection between two supervisors: frames come and go in order, each within its time.
 *
 * @module
 */
import type * as z from "zod";
import {
  decodeBody,
  decodeHeader,
  encodeData,
  encodeMessage,
  encodeZeros,
  type Frame,
  FrameHeader,
  MAX_BODY_BYTES,
  PeerError,
} from "./frames.ts";

/** How long the other side may take to take what is written, in milliseconds. */
const WRITE_MS = 60_000;
/** How long the rest of what was said may take when the connection is closed. */
const GOODBYE_MS = 2_000;

/** What a connection is made of. */
export interface Wire {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
}

export class PeerChannel implements Disposable {
  readonly #wire: Wire;
  readonly #header = new Uint8Array(FrameHeader.size);
  /** Made when something comes that needs it; one for all bodies. */
  #body: Uint8Array<ArrayBuffer> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Returns once it has gone to the kernel, after all that was said before. */
  say(message: unknown): Promise<void> {
    return this.write(encodeMessage(message));
  }

  sayData(file: number, position: number, bytes: Uint8Array): Promise<void> {
    return this.write(encodeData(file, position, bytes));
  }

  sayZeros(file: number, range: { position: number; length: number }): Promise<void> {
    return this.write(encodeZeros(file, range));
  }

  /** Bytes as they are, for what is no frame. */
  write(bytes: Uint8Array): Promise<void> {
    const before = this.#writing;
    const writing = before.then(() => this.#writeAll(bytes));
    // Whoever said it hears that it failed; whoever says the next thing hears it again.
    this.#writing = writing;
    writing.catch(() => {});
    return writing;
  }

  async #writeAll(bytes: Uint8Array) {
    for (let at = 0; at < bytes.length;) {
      at += await this.#within(WRITE_MS, () => this.#wire.write(bytes.subarray(at)));
    }
  }

  /** What is there of raw bytes, at least one; 0 where there are no more. Waits as long as it takes. */
  async read(into: Uint8Array): Promise<number> {
    return await this.#wire.read(into) ?? 0;
  }

  /** The next frame. Throws where none comes in time, the connection ends, or it makes no sense. */
  async next(withinMs: number): Promise<Frame> {
    return await this.#within(withinMs, async () => {
      await this.#fill(this.#header);
      const { kind, length } = decodeHeader(this.#header);
      this.#body ??= new Uint8Array(MAX_BODY_BYTES);
      const body = this.#body.subarray(0, length);
      await this.#fill(body);
      return decodeBody(kind, body);
    });
  }

  /** The next frame, which must be a message of this shape. */
  async hear<T>(schema: z.ZodType<T>, withinMs: number): Promise<T> {
    const frame = await this.next(withinMs);
    if (frame.kind !== "message") {
      throw new PeerError(`Cannot understand the other host: "${frame.kind}" and no message`);
    }
    return parsed(schema, frame.message);
  }

  async #fill(bytes: Uint8Array) {
    for (let at = 0; at < bytes.length;) {
      const count = await this.#wire.read(bytes.subarray(at));
      if (count === null || count === 0) throw new PeerError("The other host has hung up");
      at += count;
    }
  }

  /** Closes the connection where it takes longer, which ends what waits for it. */
  async #within<T>(ms: number, act: () => Promise<T>): Promise<T> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.close();
    }, ms);
    try {
      return await act();
    } catch (cause) {
      if (isLate) throw new PeerError("The other host does not answer", { cause });
      if (cause instanceof PeerError) throw cause;
      throw new PeerError("The connection to the other host broke", { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes it once all that was said has gone. */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.close(), GOODBYE_MS);
    try {
      await this.#writing;
      await this.#wire.closeWrite();
    } catch {
      // It broke first.
    } finally {
      clearTimeout(timer);
      this.close();
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      this.#wire.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What was said, checked; throws a {@linkcode PeerError} that says what is wrong. */
export function parsed<T>(schema: z.ZodType<T>, message: unknown): T {
  const result = schema.safeParse(message);
  if (result.success) return result.data;
  const [{ path, message: why }] = result.error.issues;
  throw new PeerError(`Cannot understand the other host: ${path.join(".") || "it"}: ${why}`);
}
