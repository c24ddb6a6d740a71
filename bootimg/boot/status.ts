/**
 * Gathers what the screen shows and has it drawn when it changes.
 *
 * @module
 */
import type { Health } from "../../hypervisor/supervisor/api/health_schemas.ts";
import { fingerprint } from "./certificate.ts";
import { attempt, log } from "./log.ts";
import type { HostState } from "../screen/host_page.ts";
import type { HostScreen } from "./host_screen.ts";
import { rankAddresses, type ScreenState, SerialScreen } from "./screen.ts";
import { read } from "./sysfs.ts";

/** Addresses change without a file's changing: a cable, a lease, a router's announcement. */
const REFRESH_MS = 3000;
const MIB = 1024 * 1024;

export interface StatusSources {
  version: string;
  /** Paths of files that others write and remove. */
  setupCode: string;
  certificate: string;
  /** The links that the host has addresses on. */
  bridges: () => string[];
  /** What the last line of the display says can be done. */
  hint: () => string | null;
}

/** What there is to show of the host. */
export class StatusBoard {
  readonly #sources: StatusSources;
  readonly #serial = new SerialScreen("/dev/ttyS0");
  #display: HostScreen | null = null;
  readonly #problems = new Map<string, string>();
  #stage: string | null = null;
  #health: Health | null = null;
  #certificate: { pem: string; fingerprint: string } | null = null;

  constructor(sources: StatusSources) {
    this.#sources = sources;
    setInterval(() => this.refresh(), REFRESH_MS);
  }

  /** When all that there was to draw is on the terminals. */
  get drawn(): Promise<unknown> {
    return Promise.all([this.#serial.settled, this.#display?.settled]);
  }

  /** Shows all on a display, too. */
  showOn(display: HostScreen | null): void {
    this.#display = display;
    this.refresh();
  }

  /** Says what is going on; null when all is up. */
  stage(stage: string | null): void {
    this.#stage = stage;
    this.refresh();
  }

  /** Says what does not work, by topic; null once it works. */
  problem(topic: string, text: string | null): void {
    if (text === null ? !this.#problems.delete(topic) : this.#problems.get(topic) === text) return;
    if (text !== null) {
      this.#problems.set(topic, text);
      log(text, "error");
    }
    this.refresh();
  }

  /** Takes note of what the supervisor told of itself; null where it tells nothing. */
  health(health: Health | null): void {
    this.#health = health;
    this.refresh();
  }

  /** What does not work now. */
  get problems(): string[] {
    return [...this.#problems.values()];
  }

  /** Redraws as soon as one of the files changes, too. */
  watch(): void {
    for (const path of [this.#sources.setupCode, this.#sources.certificate]) {
      attempt(`Cannot watch "${path}"`, async () => {
        for await (const _ of Deno.watchFs(path.replace(/\/[^/]*$/, ""), { recursive: false })) {
          this.refresh();
        }
      });
    }
  }

  refresh(): void {
    attempt("Cannot gather what the screen shows", async () => {
      const pem = read(this.#sources.certificate);
      if (pem === null) this.#certificate = null;
      else if (pem !== this.#certificate?.pem) {
        this.#certificate = { pem, fingerprint: await fingerprint(pem) };
      }
      const state: ScreenState = {
        version: this.#sources.version,
        stage: this.#stage,
        addresses: rankAddresses(Deno.networkInterfaces(), this.#sources.bridges()),
        fingerprint: this.#certificate?.fingerprint ?? null,
        setupCode: read(this.#sources.setupCode) || null,
        problems: [...this.#problems.values()],
      };
      this.#serial.draw(state);
      this.#display?.show(this.#withFigures(state));
    });
  }

  /** What changes all the time, for the display alone: on paper it would have no end. */
  #withFigures(state: ScreenState): HostState {
    const memory = Deno.systemMemoryInfo();
    return {
      ...{ ...state, hostname: Deno.hostname(), hint: this.#sources.hint() },
      ...{ uptimeSeconds: Deno.osUptime(), load: Deno.loadavg(), health: this.#health },
      cpus: navigator.hardwareConcurrency,
      memoryMiB: Math.floor(memory.total / MIB),
      memoryFreeMiB: Math.floor(memory.available / MIB),
    };
  }
}
