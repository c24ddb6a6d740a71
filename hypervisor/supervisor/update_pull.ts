/**
 * Fetching an update from the net: its signature, which is short, and then the system itself as a stream.
 *
 * @module
 */
import { MOST_SIGNATURE_BYTES, MOST_SYSTEM_BYTES } from "./api/host_update.ts";
import { messageOf } from "./log.ts";
import { problem } from "./problem.ts";

/** Who says nothing for so long is not waited for. */
const STALL_MS = 60_000;
const MOST_REDIRECTS = 5;

export interface PullOptions {
  signal: AbortSignal;
  fetch?: typeof fetch;
  stallMs?: number;
}

export interface Fetched {
  body: ReadableStream<Uint8Array<ArrayBuffer>>;
  bytes: number;
  /** The text of the signature's file. */
  signature: string;
}

/** Begins to fetch what is at `url`, and all of its signature; the body fails where nothing comes any more. */
export async function pull(url: string, options: PullOptions): Promise<Fetched> {
  const signed = new URL(url);
  signed.pathname += ".sig";
  const signature = await textOf(signed.href, options);
  const { response, stall } = await get(url, options);
  const bytes = Number(response.headers.get("content-length") ?? NaN);
  const why = !Number.isInteger(bytes)
    ? "the server does not tell its size"
    : bytes < 1 || bytes > MOST_SYSTEM_BYTES
    ? `it has ${bytes} bytes, and a system at most ${MOST_SYSTEM_BYTES}`
    : null;
  if (why !== null || response.body === null) {
    stall.end();
    await response.body?.cancel().catch(() => {});
    throw refusal(url, why ?? "it is empty");
  }
  const watch = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      stall.moved();
      controller.enqueue(chunk);
    },
    flush: () => stall.end(),
  });
  return { body: response.body.pipeThrough(watch), bytes, signature };
}

async function textOf(url: string, options: PullOptions): Promise<string> {
  const { response, stall } = await get(url, options);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  try {
    for await (const part of response.body ?? []) {
      length += part.length;
      if (length > MOST_SIGNATURE_BYTES) {
        throw refusal(url, `a signature has at most ${MOST_SIGNATURE_BYTES} bytes`);
      }
      parts.push(part);
    }
  } finally {
    stall.end();
  }
  if (length === 0) throw refusal(url, "it is empty");
  return await new Blob(parts).text();
}

/** Aborts when nothing has moved for a while. */
class Stall {
  readonly #abort = new AbortController();
  readonly #ms: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number) {
    this.#ms = ms;
    this.moved();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  moved() {
    clearTimeout(this.#timer);
    const seconds = this.#ms / 1000;
    const late = () => this.#abort.abort(new Error(`nothing came for ${seconds} s`));
    this.#timer = setTimeout(late, this.#ms);
  }

  end() {
    clearTimeout(this.#timer);
  }
}

async function get(
  url: string,
  options: PullOptions,
): Promise<{ response: Response; stall: Stall }> {
  const { signal, fetch = globalThis.fetch, stallMs = STALL_MS } = options;
  const stall = new Stall(stallMs);
  try {
    let at = url;
    for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
      const response = await fetch(at, {
        redirect: "manual",
        // Its length is told only of what is not compressed on the way.
        headers: { "accept-encoding": "identity" },
        signal: AbortSignal.any([signal, stall.signal]),
      });
      if (response.ok) return { response, stall };
      await response.body?.cancel().catch(() => {});
      const to = response.headers.get("location");
      if (response.status < 300 || response.status > 399 || to === null) {
        throw new Error(`the server answered ${response.status}`);
      }
      const next = new URL(to, at);
      if (next.protocol !== "https:") throw new Error(`it leads to "${next.protocol}", not https`);
      at = next.href;
    }
    throw new Error(`it leads on more than ${MOST_REDIRECTS} times`);
  } catch (error) {
    stall.end();
    signal.throwIfAborted();
    throw refusal(url, messageOf(error));
  }
}

function refusal(url: string, why: string) {
  return problem("update_refused", `Cannot fetch "${url}": ${why}`);
}
