/**
 * Process 1 as far as updates go, without disks: it takes what it is sent, and refuses what says so.
 *
 * @module
 */
import type { HostUpdate } from "../api/host_update.ts";

export const RUNS_IMAGE: HostUpdate = {
  running: { version: "1.2.0", system: "image" },
  systems: { image: { version: "1.2.0" }, a: null, b: null },
  ...{ good: "image", trial: null, ready: null, undo: null, last: null, job: null, whyNot: null },
};

/** A file that is not to be taken begins with this. */
export const FORGED = "forged";

export class FakeUpdates implements AsyncDisposable {
  told: HostUpdate = structuredClone(RUNS_IMAGE);
  /** What came last, as a text, and its signature. */
  taken: { text: string; signature: string } | null = null;
  restarts = 0;
  /** What is done before what was taken is written. */
  onWriting: () => Promise<void> = () => Promise.resolve();
  #abort = new AbortController();
  readonly #server: Deno.HttpServer<Deno.UnixAddr>;

  constructor(path: string) {
    this.#server = Deno.serve({ path, onListen() {} }, (request) => this.#answer(request));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  #put(change: Partial<HostUpdate>): Response {
    this.told = { ...this.told, ...change };
    return Response.json(this.told);
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const { job, undo, running } = this.told;
    const refused = (status: number, message: string) => Response.json({ message }, { status });
    switch (`${request.method} ${pathname}`) {
      case "GET /update":
        return Response.json(this.told);
      case "PUT /update":
        if (job !== null && !job.isOver) return refused(409, "Another one is being taken");
        return await this.#take(request, searchParams.get("signature") ?? "")
          .catch((error) => {
            this.#put({ job: { ...this.told.job!, isOver: true, error: error.message } });
            return refused(422, error.message);
          });
      case "DELETE /update/job":
        if (job === null || job.isOver) return refused(409, "None is being taken");
        this.#abort.abort(new Error("The update was cancelled"));
        return Response.json(this.told);
      case "DELETE /update/ready":
        return this.#put({ ready: null });
      case "POST /update/undo":
        if (undo === null) return refused(409, "There is nothing to go back to");
        return this.#put({
          ready: undo,
          undo: null,
          last: {
            ...{ at: new Date().toISOString(), from: running.version, to: undo.version },
            ...{ outcome: "undone", why: null },
          },
        });
      case "POST /restart":
        this.restarts++;
        return Response.json({}, { status: 202 });
    }
    return refused(404, `Cannot ${request.method} ${pathname}`);
  }

  async #take(request: Request, signature: string): Promise<Response> {
    const { signal } = this.#abort = new AbortController();
    const total = Number(request.headers.get("content-length") ?? NaN);
    if (!Number.isInteger(total)) throw new Error("Its size is not told");
    let [text, bytes] = ["", 0];
    this.#put({ job: { phase: "staging", bytes, total, error: null, isOver: false } });
    for await (const part of request.body!) {
      signal.throwIfAborted();
      bytes += part.length;
      text += new TextDecoder().decode(part);
      this.#put({ job: { phase: "staging", bytes, total, error: null, isOver: false } });
    }
    if (text.startsWith(FORGED)) throw new Error("The signature does not fit");
    this.#put({ job: { phase: "writing", bytes: 0, total, error: null, isOver: false } });
    await this.onWriting();
    signal.throwIfAborted();
    const encoded = Uint8Array.fromBase64(signature, { alphabet: "base64url" });
    this.taken = { text, signature: new TextDecoder().decode(encoded) };
    return this.#put({
      job: { phase: "ready", bytes: total, total, error: null, isOver: true },
      systems: { ...this.told.systems, a: { version: "1.3.0" } },
      ready: { version: "1.3.0", system: "a" },
    });
  }
}
