/**
 * Builds the console once and runs it before an API.
 *
 * @module
 */
import { join } from "@std/path";
import type { Browser } from "playwright-core";
import * as esbuild from "esbuild";
import { buildAppliance } from "../../mgmt/build.ts";
import { FakeApi, type FakeApiOptions } from "../../mgmt/testing/fake_api.ts";
import { openBrowser } from "../../scripts/demo_pc/chromium.ts";
import { Visit, type VisitOptions } from "./browser.ts";
import { type ConsoleProcess, startConsole } from "./console_process.ts";

export const PASSWORD = "correct horse battery";

/** What tests share, since building and starting a browser takes longer than most of them. */
export class Bench implements AsyncDisposable {
  readonly built: string;
  readonly browser: Browser;

  private constructor(built: string, browser: Browser) {
    this.built = built;
    this.browser = browser;
  }

  static async open(): Promise<Bench> {
    const built = await Deno.makeTempDir({ prefix: "console-" });
    try {
      await buildAppliance(built);
    } finally {
      await esbuild.stop();
    }
    return new Bench(built, await openBrowser());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.browser.close();
    await Deno.remove(this.built, { recursive: true });
  }
}

/** A console before a made-up host. */
export class Site implements AsyncDisposable {
  readonly api: FakeApi;
  readonly console: ConsoleProcess;
  readonly #dir: string;
  readonly #browser: Browser;

  private constructor(
    parts: { api: FakeApi; console: ConsoleProcess; dir: string; browser: Browser },
  ) {
    this.api = parts.api;
    this.console = parts.console;
    this.#dir = parts.dir;
    this.#browser = parts.browser;
  }

  static async open(bench: Bench, options: Omit<FakeApiOptions, "path"> = {}): Promise<Site> {
    const dir = await Deno.makeTempDir({ prefix: "site-" });
    const path = join(dir, "api.sock");
    const api = new FakeApi({ path, password: PASSWORD, ...options });
    const console = await startConsole({ built: bench.built, api: path, dir });
    return new Site({ api, console, dir, browser: bench.browser });
  }

  visit(options: Omit<VisitOptions, "url"> = {}): Promise<Visit> {
    return Visit.start(this.#browser, { url: this.console.url, ...options });
  }

  /** A window that is signed in. */
  async visitSignedIn(options: Omit<VisitOptions, "url"> = {}): Promise<Visit> {
    const visit = await this.visit(options);
    await visit.haveSession(PASSWORD);
    return visit;
  }

  guestNamed(name: string): string {
    for (const guest of this.api.guests.values()) if (guest.name === name) return guest.id;
    throw new Error(`Cannot find the guest "${name}"`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.console[Symbol.asyncDispose]();
    await this.api[Symbol.asyncDispose]();
    await Deno.remove(this.#dir, { recursive: true });
  }
}
