/**
 * The systems of the host, which process 1 of the appliance keeps, and newer ones that come from a browser
 * or from the net. What is under way is told by process 1, so it is the same for whoever asks.
 *
 * @module
 */
import { HostUpdate, MOST_SYSTEM_BYTES } from "./api/host_update.ts";
import type { HostUpdateView, UpdatePull } from "./api/schemas.ts";
import type { EventHub } from "./events.ts";
import { type Log, messageOf } from "./log.ts";
import { ApiProblem, problem } from "./problem.ts";
import type { ProcessOne, Question } from "./process_one.ts";
import { pull, type PullOptions } from "./update_pull.ts";

/** Writing to a slow stick takes its time. */
const WRITE_LIMIT_MS = 30 * 60_000;
const LIMIT_MS = 60_000;
const LOOK_MS = 5000;
const FOLLOW_MS = 500;

export interface ApplianceUpdateOptions {
  processOne: ProcessOne;
  events: EventHub;
  log: Log;
  /** For tests: how often to look, at all and while one is being taken in; and another net. */
  lookMs?: number;
  followMs?: number;
  fetch?: PullOptions["fetch"];
  stallMs?: number;
}

/** An update as it comes. */
export interface Upload {
  body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** What it says it has. */
  bytes: number | undefined;
  /** The base64url of the signature's file. */
  signature: string | undefined;
  /** Aborts where it is not wanted any more. */
  signal?: AbortSignal;
}

const QUESTION = { what: "its updates", refused: "update_refused", limitMs: LIMIT_MS } as const;

export class ApplianceUpdate {
  readonly #options: ApplianceUpdateOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #told = "";
  #pull: UpdatePull | null = null;
  #pulling: AbortController | null = null;
  #isClosed = false;

  constructor(options: ApplianceUpdateOptions) {
    this.#options = options;
    if (options.processOne.isThere) this.#lookLater(false);
  }

  async get(): Promise<HostUpdateView> {
    return this.#view(await this.#ask("GET", "/update"));
  }

  /** Passes an upload on as it comes; resolves once the next restart tries it. */
  async put({ body, bytes, signature, signal }: Upload): Promise<HostUpdateView> {
    const { processOne } = this.#options;
    try {
      if (bytes === undefined || bytes < 1) {
        throw problem("update_refused", "Cannot take the update: its size is not told");
      }
      if (bytes > MOST_SYSTEM_BYTES) {
        throw problem(
          "body_too_large",
          `Cannot take the update: it has ${bytes} bytes, and a system at most ${MOST_SYSTEM_BYTES}`,
        );
      }
      this.#lookLater(true);
      const question = { ...QUESTION, limitMs: WRITE_LIMIT_MS, method: "PUT" } as const;
      const told = await processOne.send(
        { ...question, path: "/update", query: { signature } },
        { body, bytes, signal },
        HostUpdate,
      );
      return this.#tell(this.#view(told));
    } catch (error) {
      if (error instanceof ApiProblem) throw error;
      throw problem("update_refused", `Cannot take the update: ${messageOf(error)}`);
    } finally {
      await body.cancel().catch(() => {});
    }
  }

  /** Begins to fetch an update; how that goes is told like any other. */
  async pull(url: string): Promise<HostUpdateView> {
    const { job } = await this.get();
    if (this.#pulling !== null || (job !== null && !job.isOver)) {
      throw problem("update_refused", "Cannot fetch an update: another one is being taken in");
    }
    const abort = this.#pulling = new AbortController();
    this.#pull = { url, isOver: false, error: null };
    this.#fetch(url, abort.signal).then(() => null, messageOf).then((error) => {
      this.#pulling = null;
      this.#pull = { url, isOver: true, error };
      const { log } = this.#options;
      if (error === null) log("info", "fetched an update", { url });
      else log("warn", "cannot fetch an update", { url, error });
      this.#lookLater(true);
    });
    this.#lookLater(true);
    return this.#tell(await this.get());
  }

  async #fetch(url: string, signal: AbortSignal): Promise<void> {
    const { body, bytes, signature } = await pull(url, { ...this.#options, signal });
    const encoded = new TextEncoder().encode(signature)
      .toBase64({ alphabet: "base64url", omitPadding: true });
    await this.put({ body, bytes, signature: encoded, signal });
  }

  async cancel(): Promise<HostUpdateView> {
    if (this.#pulling !== null) {
      this.#pulling.abort(new Error("The update was cancelled"));
      // It may not have come to process 1 yet, which then knows of none.
      await this.#ask("DELETE", "/update/job").catch(() => {});
      return await this.get();
    }
    return await this.#change("DELETE", "/update/job");
  }

  takeBack(): Promise<HostUpdateView> {
    return this.#change("DELETE", "/update/ready");
  }

  undo(): Promise<HostUpdateView> {
    return this.#change("POST", "/update/undo");
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#pulling?.abort(new Error("The supervisor stops"));
  }

  async #change(method: Question["method"], path: string): Promise<HostUpdateView> {
    return this.#tell(this.#view(await this.#ask(method, path)));
  }

  #view(told: HostUpdate): HostUpdateView {
    return { ...told, pull: this.#pull };
  }

  /** Tells who listens how it goes, more often while something does. */
  #lookLater(soon: boolean): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    const { lookMs = LOOK_MS, followMs = FOLLOW_MS } = this.#options;
    this.#timer = setTimeout(() => void this.#look(), soon ? followMs : lookMs);
  }

  async #look(): Promise<void> {
    const { events, log } = this.#options;
    let isUnderWay = this.#pulling !== null;
    try {
      if (events.listeners > 0) {
        const { job } = this.#tell(await this.get());
        isUnderWay ||= job !== null && !job.isOver;
      }
    } catch (error) {
      log("warn", "cannot ask for updates", { error: messageOf(error) });
    }
    this.#lookLater(isUnderWay);
  }

  #tell(data: HostUpdateView): HostUpdateView {
    const text = JSON.stringify(data);
    if (text !== this.#told) {
      this.#told = text;
      this.#options.events.publish({ name: "update", data });
    }
    return data;
  }

  #ask(method: Question["method"], path: string): Promise<HostUpdate> {
    return this.#options.processOne.ask({ ...QUESTION, method, path }, HostUpdate);
  }
}
