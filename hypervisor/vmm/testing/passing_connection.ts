/**
 * The supervisor's side of the control socket where descriptors come and go with what is said.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import { receiveDescriptors, sendDescriptors } from "../../sys/passed_descriptors.ts";
import { connectUnix, send, WOULD_BLOCK } from "../../sys/unix_sockets.ts";

const pause = () => new Promise((resolve) => setTimeout(resolve, 0));

export class PassingConnection implements Disposable {
  /** What has come along, in order; whoever takes it closes it. */
  readonly descriptors: number[] = [];
  readonly #fd: number;
  #rest = "";

  constructor(socket: string, request: unknown, descriptors: readonly number[] = []) {
    this.#fd = connectUnix(socket);
    const line = encode(request);
    if (descriptors.length === 0) send(this.#fd, line);
    else sendDescriptors(this.#fd, line, descriptors);
  }

  send(message: unknown): void {
    send(this.#fd, encode(message));
  }

  /** The next line as JSON; undefined at the end. */
  // deno-lint-ignore no-explicit-any
  async line(): Promise<any> {
    const buffer = new Uint8Array(65536);
    while (!this.#rest.includes("\n")) {
      const n = receiveDescriptors(this.#fd, buffer, this.descriptors);
      if (n === 0) return undefined;
      if (n === WOULD_BLOCK) await pause();
      else this.#rest += new TextDecoder().decode(buffer.subarray(0, n));
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return JSON.parse(line);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

function encode(message: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(message) + "\n");
}

/** What a guest was forked to. */
export class Forked implements Disposable {
  /** State and RAM. */
  readonly descriptors: readonly number[];
  readonly pausedMs: number;
  readonly copiedBytes: number;

  constructor(
    descriptors: readonly number[],
    said: { pausedMs: number; copiedBytes: number },
  ) {
    this.descriptors = descriptors;
    this.pausedMs = said.pausedMs;
    this.copiedBytes = said.copiedBytes;
  }

  [Symbol.dispose](): void {
    this.descriptors.forEach(close);
  }
}

/** Forks the guest at `socket`; with `held`, which it stands still for. Throws what the VMM says. */
export async function fork(socket: string, held?: () => Promise<void>): Promise<Forked> {
  using connection = new PassingConnection(socket, { op: "fork", hold: held !== undefined });
  for (let line = await connection.line(); line; line = await connection.line()) {
    if (line.error) throw new Error(line.error);
    if (line.forked) return new Forked(connection.descriptors.slice(), line.forked);
    if (!line.held) continue;
    await held?.();
    connection.send({ op: "go" });
  }
  throw new Error("The VMM hung up");
}

/** Has a VMM that waits go on from there; what it answers. */
export async function goOn(socket: string, forked: Forked, config: unknown) {
  const request = { op: "run", fork: true, config };
  using connection = new PassingConnection(socket, request, forked.descriptors);
  return await connection.line();
}
