/**
 * The host's end of a TCP stream from a guest, whose lines are numbers, each one more than that before.
 *
 * @module
 */
export class SequenceServer implements AsyncDisposable {
  /** The last number that came. */
  last = 0;
  connections = 0;
  /** What was wrong with the stream. */
  readonly wrong: string[] = [];
  readonly #listener: Deno.TcpListener;
  readonly #over: Promise<void>;

  constructor(options: { hostname: string; port: number }) {
    this.#listener = Deno.listen(options);
    this.#over = this.#serve();
  }

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) {
      this.connections++;
      this.#read(connection).catch((error) => this.wrong.push(String(error)));
    }
  }

  async #read(connection: Deno.TcpConn): Promise<void> {
    let rest = "";
    for await (const text of connection.readable.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const number = Number(line);
        if (number !== this.last + 1) this.wrong.push(`${line} came after ${this.last}`);
        this.last = number;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#over.catch(() => {});
  }
}
