/**
 * The supervisor's side of the control socket, by hand.
 *
 * @module
 */

const PATIENCE_MS = 5000;

/** A socket is there a moment before somebody listens at it. */
async function connect(path: string): Promise<Deno.UnixConn> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await Deno.connect({ transport: "unix", path });
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused) || Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

export class ControlConnection implements Disposable {
  readonly #connection: Deno.UnixConn;
  #rest = "";

  constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
  }

  static async open(socket: string, request?: unknown): Promise<ControlConnection> {
    const control = new ControlConnection(await connect(socket));
    if (request !== undefined) await control.send(JSON.stringify(request) + "\n");
    return control;
  }

  async send(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  /** Says that no more comes. */
  async closeWrite(): Promise<void> {
    await this.#connection.closeWrite();
  }

  async #more(): Promise<boolean> {
    const buffer = new Uint8Array(65536);
    const n = await this.#connection.read(buffer);
    if (n === null) return false;
    this.#rest += new TextDecoder().decode(buffer.subarray(0, n));
    return true;
  }

  /** The next line as JSON; undefined at the end. */
  // deno-lint-ignore no-explicit-any
  async line(): Promise<any> {
    while (!this.#rest.includes("\n")) if (!await this.#more()) return undefined;
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return JSON.parse(line);
  }

  /** Everything up to and with the first occurrence of `text`, or up to the end. */
  async until(text: string): Promise<string> {
    while (!this.#rest.includes(text)) if (!await this.#more()) return this.#rest;
    const end = this.#rest.indexOf(text) + text.length;
    const seen = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end);
    return seen;
  }

  /** Everything up to the end. */
  async all(): Promise<string> {
    while (await this.#more());
    return this.#rest;
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

/** Asks one thing and returns the answer. */
export async function ask(socket: string, request: unknown) {
  using connection = await ControlConnection.open(socket, request);
  return await connection.line();
}
