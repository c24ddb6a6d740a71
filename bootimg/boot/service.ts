/**
 * A process that PID 1 keeps running.
 *
 * @module
 */
import type { LogLevel } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { entryOfLine } from "../log/entry.ts";
import { Backoff } from "./backoff.ts";
import { spawn } from "./children.ts";
import { lines } from "./lines.ts";
import { log, logLine, reason } from "./log.ts";

export interface ServiceConfig {
  name: string;
  /** An absolute path and its arguments. */
  command: string[];
  /** The user and group it runs as; root without. */
  uid?: number;
  env?: Record<string, string>;
  /** Rooms of the log that it may speak for beside its own. */
  speaksFor?: readonly string[];
  /** Told each process that was started, before it has done anything. */
  onStart?: (pid: number) => void;
  /** What its standard error is to the log: of one that tells everything there. A warning without. */
  errorLevel?: LogLevel;
}

/** A process that ran this long is no trouble any more. */
const RECOVERED_MS = 10_000;
/** The grace between SIGTERM and SIGKILL. */
const STOP_GRACE_MS = 5000;

/** Starts its process, and starts it again whenever it dies, until told to stop. */
export class Service {
  readonly config: ServiceConfig;
  readonly #backoff = new Backoff();
  readonly #onTrouble: (trouble: string | null) => void;
  readonly #stopping = Promise.withResolvers<void>();
  #stopped = false;
  #child: Deno.ChildProcess | undefined;
  #startedAt: number | null = null;
  #life: Promise<void> | undefined;

  /** `onTrouble` is told when the process keeps dying, and null once it runs again. */
  constructor(config: ServiceConfig, onTrouble: (trouble: string | null) => void) {
    this.config = config;
    this.#onTrouble = onTrouble;
  }

  start(): void {
    this.#life ??= this.#live();
  }

  /** When its process was started, by `performance.now()`; null while none runs. */
  get startedAt(): number | null {
    return this.#startedAt;
  }

  /** Ends a process that does not answer: it is started again. */
  kill(): void {
    this.#signal("SIGKILL");
  }

  /** Asks the process to end, insists after a while, and returns once it is gone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopping.resolve();
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), STOP_GRACE_MS);
    await this.#life;
    clearTimeout(timer);
  }

  async #live(): Promise<void> {
    while (!this.#stopped) {
      const began = performance.now();
      const ending = await this.#runOnce();
      if (this.#stopped) return;
      const delay = this.#backoff.died(performance.now() - began);
      log(`${this.config.name} ${ending}; starting it again in ${delay} ms`, "error");
      if (this.#backoff.isWorrying) this.#onTrouble(`${this.config.name} keeps failing: ${ending}`);
      await Promise.race([sleep(delay), this.#stopping.promise]);
    }
  }

  /** Runs the process until it ends; returns how it did. */
  async #runOnce(): Promise<string> {
    const { name, command: [program, ...args], uid, env } = this.config;
    try {
      const child = this.#child = spawn(program, {
        args,
        uid,
        gid: uid,
        env,
        clearEnv: true,
        cwd: "/",
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      });
      this.#startedAt = performance.now();
      this.config.onStart?.(child.pid);
      log(`${name} started as process ${child.pid}`);
      const healthy = setTimeout(() => this.#onTrouble(null), RECOVERED_MS);
      let last = "";
      const { speaksFor, errorLevel = "warning" } = this.config;
      const copy = async (stream: ReadableStream<Uint8Array>, level: LogLevel) => {
        for await (const line of lines(stream)) {
          const text = line.trim();
          if (text === "") continue;
          logLine(text, { room: name, level, speaksFor });
          if (stream === child.stderr) last = entryOfLine(text, { room: name, level }).message;
        }
      };
      // Not awaited together with the status: a grandchild may hold the pipes open for longer.
      const copied = Promise.allSettled([
        copy(child.stdout, "info"),
        copy(child.stderr, errorLevel),
      ]);
      const status = await child.status;
      await Promise.race([copied, sleep(100)]);
      clearTimeout(healthy);
      const how = status.signal
        ? `was ended by ${status.signal}`
        : `ended with code ${status.code}`;
      return last === "" ? how : `${how} (${last})`;
    } catch (error) {
      return `could not be started (${reason(error)})`;
    } finally {
      this.#child = undefined;
      this.#startedAt = null;
    }
  }

  #signal(signal: Deno.Signal): void {
    try {
      this.#child?.kill(signal);
    } catch {
      // It is gone.
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
