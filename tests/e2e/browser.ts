/**
 * A headless browser that speaks to nobody but the console, and remembers what its own console said.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import axe from "axe-core";
import { type Browser, type BrowserContext, type Page, type Request } from "playwright-core";

/** A browser tells its console's words by another way than what a page shows. */
const COMPLAINT_PATIENCE_MS = 10_000;

/** Requests without an answer, of all windows of a test. */
const waiting = new Set<string>();

/** Where a test fails and tidying up after it fails too, tells of the test's own failure. */
export async function withPlainErrors(fn: () => Promise<void>): Promise<void> {
  try {
    await fn();
  } catch (error) {
    let first = error;
    while (first instanceof SuppressedError) first = first.suppressed;
    console.error(`What the browser still waited for:\n${[...waiting].join("\n")}`);
    throw first;
  } finally {
    waiting.clear();
  }
}

export interface VisitOptions {
  url: string;
  width?: number;
  height?: number;
  colorScheme?: "light" | "dark";
}

/** One person's browser window. */
export class Visit implements AsyncDisposable {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly url: string;
  /** Errors and warnings that the browser told, less those that a test expects. */
  readonly complaints: string[] = [];

  private constructor(page: Page, url: string) {
    this.page = page;
    this.context = page.context();
    this.url = url;
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) {
        this.complaints.push(`${message.text()} (${message.location().url})`);
      }
    });
    const line = (request: Request) => `  ${request.method()} ${request.url()}`;
    page.on("request", (request) => waiting.add(line(request)));
    page.on("requestfinished", (request) => waiting.delete(line(request)));
    page.on("requestfailed", (request) => waiting.delete(line(request)));
    page.on("pageerror", (error) => this.complaints.push(error.message));
  }

  static async start(browser: Browser, options: VisitOptions): Promise<Visit> {
    const context = await browser.newContext({
      baseURL: options.url,
      ignoreHTTPSErrors: true,
      colorScheme: options.colorScheme ?? "light",
      viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
    });
    // A busy machine is slow, and a connection that was lost is tried again ever more seldom.
    context.setDefaultTimeout(45_000);
    return new Visit(await context.newPage(), options.url);
  }

  /** Signs in by the form. */
  async signIn(password: string): Promise<void> {
    await this.page.goto("/login");
    await this.page.getByLabel("Administrator's password").fill(password);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.live();
  }

  /** Signs in without the form, and shows the first page. */
  async haveSession(password: string): Promise<void> {
    const response = await this.context.request.post("/api/v1/session", { data: { password } });
    assertEquals(response.status(), 200);
    await this.page.goto("/");
    await this.live();
  }

  /** Waits until islands are alive and the event stream has told all. */
  async live(): Promise<void> {
    await this.page.locator(".connection.live").waitFor();
  }

  /** Waits until the terminal's last line matches. */
  async terminalShows(pattern: RegExp): Promise<void> {
    await this.page.waitForFunction(
      ({ source }) => {
        const rows = [...document.querySelectorAll(".xterm-rows > div")];
        const text = rows.map((row) => row.textContent ?? "").join("\n").replaceAll("\u00a0", " ");
        return new RegExp(source).test(text.trimEnd());
      },
      { source: pattern.source },
    );
  }

  /** Takes out complaints that match; fails where none came, which may be later than what is seen. */
  async expectComplaint(pattern: RegExp): Promise<void> {
    const until = Date.now() + COMPLAINT_PATIENCE_MS;
    const isThere = () => this.complaints.some((text) => pattern.test(text));
    while (!isThere() && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assertEquals(isThere(), true, `no complaint matches ${pattern}: ${this.complaints.join("; ")}`);
    this.forgive(pattern);
  }

  /** Takes out complaints that match, if there are any. */
  forgive(pattern: RegExp): void {
    const rest = this.complaints.filter((text) => !pattern.test(text));
    this.complaints.splice(0, this.complaints.length, ...rest);
  }

  /** Fails where a page is wider than the window. */
  async assertFits(): Promise<void> {
    const over = await this.page.evaluate(() =>
      document.documentElement.scrollWidth - globalThis.innerWidth
    );
    assertEquals(over <= 0, true, `${this.page.url()} is ${over} pixels too wide`);
  }

  /** Fails where the page keeps someone out. */
  async assertAccessible(): Promise<void> {
    // What is fading in has colours that nobody is to read by; a spinner never ends.
    await this.page.evaluate(() =>
      Promise.allSettled(
        document.getAnimations()
          .filter((it) => it.effect?.getComputedTiming().endTime !== Infinity)
          .map((it) => it.finished),
      )
    );
    // By the debugger, which the page's policy does not bind.
    await this.page.evaluate(axe.source);
    const violations = await this.page.evaluate(async () => {
      const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run(
        document,
        {
          runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        },
      );
      return violations.map(({ id, nodes }) =>
        `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(" | ")}`
      );
    });
    assertEquals(violations, [], `at ${this.page.url()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
    assertEquals(this.complaints, [], "the browser told errors");
  }
}
