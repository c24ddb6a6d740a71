/**
 * QEMU's monitor: one JSON text per line over a unix socket.
 *
 * @module
 */

/** An open connection to one QEMU's monitor. */
export class Qmp implements Disposable {
  readonly #conn: Deno.UnixConn;
  readonly #lines: AsyncIterator<string>;

  private constructor(conn: Deno.UnixConn) {
    this.#conn = conn;
    this.#lines = lines(conn.readable);
  }

  /** Connects to the socket at `path`. */
  static async connect(path: string): Promise<Qmp> {
    const qmp = new Qmp(await Deno.connect({ transport: "unix", path }));
    await qmp.#lines.next();
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  /** Runs a command and returns its answer; events that come in between are dropped. */
  async execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const text = JSON.stringify({ execute: command, arguments: args }) + "\n";
    await writeAll(this.#conn, new TextEncoder().encode(text));
    while (true) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`Cannot run QEMU command "${command}": QEMU has ended`);
      const answer = JSON.parse(value);
      if ("return" in answer) return answer.return;
      if ("error" in answer) {
        throw new Error(`Cannot run QEMU command "${command}": ${answer.error.desc}`);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}

/** Writes all of `bytes`. */
export async function writeAll(conn: Deno.UnixConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** The lines of a stream of UTF-8, without their ends. */
export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    const parts = rest.split("\n");
    rest = parts.pop()!;
    for (const part of parts) yield part.replace(/\r$/, "");
  }
}
