/** What one browser, or all of them, may ask of the console. */
export const LIMITS = {
  /** Of all a request's headers together. */
  headerBytes: 16 * 1024,
  /** Of a body that is not an image: what the API takes. */
  bodyBytes: 384 * 1024,
  /** A body whose next bytes do not come within this time is given up. */
  bodyStallMs: 30_000,
  webSockets: 64,
  /** From one address. */
  webSocketsPerAddress: 16,
  eventStreams: 128,
  eventStreamsPerAddress: 32,
  /** Bytes that wait for a slow reader of a WebSocket before it is let go. */
  webSocketBacklog: 8 * 1024 * 1024,
} as const;

export function headerBytes(request: Request): number {
  let bytes = request.url.length;
  for (const [name, value] of request.headers) bytes += name.length + value.length + 4;
  return bytes;
}

/** Why a body was not passed on. */
export class BodyError extends Error {
  constructor(readonly status: 400 | 408 | 413, message: string) {
    super(message);
  }
}

/** Passes a body on until it is over `maxBytes` or stalls; then it fails with a {@linkcode BodyError}. */
export function limitBody(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  options: { maxBytes: number; stallMs: number; onError?: (error: BodyError) => void },
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  let total = 0;
  const fail = (error: BodyError): never => {
    options.onError?.(error);
    reader.cancel(error).catch(() => {});
    throw error;
  };
  return new ReadableStream({
    async pull(controller) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const stalled = new Promise<"stalled">((resolve) => {
        timer = setTimeout(() => resolve("stalled"), options.stallMs);
      });
      try {
        const broken = () => new BodyError(400, "Cannot read the body: the connection broke");
        const next = await Promise.race([reader.read().catch(broken), stalled]);
        if (next instanceof BodyError) return fail(next);
        if (next === "stalled") {
          return fail(new BodyError(408, "Cannot read the body: nothing came for too long"));
        }
        if (next.done) return controller.close();
        total += next.value.length;
        if (total > options.maxBytes) {
          return fail(
            new BodyError(413, `Cannot read the body: it is longer than ${options.maxBytes} bytes`),
          );
        }
        controller.enqueue(next.value);
      } finally {
        clearTimeout(timer);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** Counts what is open, in all and from one address. */
export class Quota {
  #total = 0;
  #byAddress = new Map<string, number>();
  readonly #limits: { total: number; perAddress: number };

  constructor(limits: { total: number; perAddress: number }) {
    this.#limits = limits;
  }

  /** A function that gives the place back, once; null where there is none left. */
  take(address: string): (() => void) | null {
    const own = this.#byAddress.get(address) ?? 0;
    if (this.#total >= this.#limits.total || own >= this.#limits.perAddress) return null;
    this.#total++;
    this.#byAddress.set(address, own + 1);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      this.#total--;
      const left = this.#byAddress.get(address)! - 1;
      if (left === 0) this.#byAddress.delete(address);
      else this.#byAddress.set(address, left);
    };
  }
}
