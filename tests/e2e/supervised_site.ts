/**
 * A console before the real supervisor, whose VMMs only pretend.
 *
 * @module
 */
import type { Guest, GuestCreate } from "../../hypervisor/supervisor/api/schemas.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { Visit, type VisitOptions, withPlainErrors } from "./browser.ts";
import { type ConsoleProcess, startConsole } from "./console_process.ts";
import { Bench, PASSWORD } from "./site.ts";

/** Between two looks at what devices count: tests are less patient than people. */
const FIGURES_MS = 200;

export class SupervisedSite implements AsyncDisposable {
  readonly host: TestHost;
  readonly #console: ConsoleProcess;
  readonly #bench: Bench;
  readonly #parent: string;

  private constructor(
    parts: { host: TestHost; console: ConsoleProcess; bench: Bench; parent: string },
  ) {
    this.host = parts.host;
    this.#parent = parts.parent;
    this.#console = parts.console;
    this.#bench = parts.bench;
  }

  static async open(): Promise<SupervisedSite> {
    const bench = await Bench.open();
    // Not where it would be by itself: Deno grants nothing below /dev one by one.
    const parent = await Deno.makeTempDir({ prefix: "site-" });
    const host = await TestHost.start({
      parent,
      figuresMs: FIGURES_MS,
      agents: { soonMs: FIGURES_MS },
    });
    const console = await startConsole({
      built: bench.built,
      api: host.path("run/console/api.sock"),
      dir: host.directory,
    });
    const code = Deno.readTextFileSync(host.path("run/setup_code")).trim();
    await host.local.client.call("setup", { body: { code, password: PASSWORD } });
    return new SupervisedSite({ host, console, bench, parent });
  }

  /** A window at the page of a guest that was just made. */
  async visitGuest(
    body: Partial<GuestCreate>,
    options: Omit<VisitOptions, "url"> & { started?: boolean } = {},
  ): Promise<{ visit: Visit; guest: Guest } & AsyncDisposable> {
    const { started = false, ...others } = options;
    const guest = await this.host.guest(body);
    if (started) await this.host.start(guest.id);
    const visit = await Visit.start(this.#bench.browser, { url: this.#console.url, ...others });
    await visit.haveSession(PASSWORD);
    await visit.page.goto(`/guests/${guest.id}`);
    await visit.live();
    return { visit, guest, [Symbol.asyncDispose]: () => visit[Symbol.asyncDispose]() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#console[Symbol.asyncDispose]();
    await this.host[Symbol.asyncDispose]();
    await this.#bench[Symbol.asyncDispose]();
    await Deno.remove(this.#parent, { recursive: true });
  }
}

/** What the tests of a file share. */
export const supervised = {} as { site: SupervisedSite };

/** Called once by a file whose tests use {@linkcode supervised}. */
export function shareSupervisedSite(): void {
  Deno.test.beforeAll(async () => {
    supervised.site = await SupervisedSite.open();
  });
  Deno.test.afterAll(() => supervised.site[Symbol.asyncDispose]());
}

/** Processes and sockets outlive a test, since tests share them. */
export function supervisedTest(name: string, fn: (site: SupervisedSite) => Promise<void>): void {
  Deno.test({
    name,
    fn: () => withPlainErrors(() => fn(supervised.site)),
    sanitizeOps: false,
    sanitizeResources: false,
  });
}
