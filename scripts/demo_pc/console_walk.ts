/**
 * A new user's way through the console, in a real browser.
 *
 * @module
 */
import type { Browser, Page } from "playwright-core";

export interface WalkOptions {
  /** The console's address, such as "https://localhost:8443". */
  url: string;
  setupCode: string;
  password: string;
  guest: string;
  login: { user: string; password: string };
  /** Folder for a picture of each page. */
  pictures: string;
  /** Called at each stage that is reached. */
  onStage(stage: string): void;
  /** How much slower than a real machine everything is. */
  patience: number;
}

/**
 * Sets the password, logs in, starts the guest, opens its terminal, logs in there and runs
 * `uname -a`; returns what the guest answered. Throws at the first thing that is not as it should be,
 * and if the browser's own console had errors.
 */
export async function walkThroughConsole(browser: Browser, options: WalkOptions): Promise<string> {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1280, height: 800 },
  });
  context.setDefaultTimeout(30_000 * options.patience);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(`${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => errors.push(error.message));
  try {
    const answer = await new Walk(page, options).run();
    if (errors.length > 0) {
      throw new Error(`Cannot accept the console: the browser told errors:\n${errors.join("\n")}`);
    }
    return answer;
  } catch (error) {
    await page.screenshot({ path: `${options.pictures}/failed.png` }).catch(() => {});
    const seen = errors.length > 0 ? `\nThe browser told: ${errors.join("; ")}` : "";
    throw new Error(`${(error as Error).message}\nThe page was ${page.url()}${seen}`, {
      cause: error,
    });
  } finally {
    await context.close();
  }
}

class Walk {
  readonly #page: Page;
  readonly #options: WalkOptions;
  #pictures = 0;

  constructor(page: Page, options: WalkOptions) {
    this.#page = page;
    this.#options = options;
  }

  async run(): Promise<string> {
    await this.#setPassword();
    await this.#logIn();
    await this.#startGuest();
    return await this.#useTerminal();
  }

  async #setPassword(): Promise<void> {
    const page = this.#page;
    await page.goto(this.#options.url);
    await page.waitForURL("**/setup");
    await page.getByLabel("Code on the host's screen").fill(this.#options.setupCode);
    await page.getByLabel("New administrator's password").fill(this.#options.password);
    await page.getByLabel("The same once more").fill(this.#options.password);
    await this.#picture("set-up");
    await page.getByRole("button", { name: "Set the password" }).click();
    await page.waitForURL((url) => url.pathname !== "/setup");
    this.#options.onStage("the password is set");
  }

  async #logIn(): Promise<void> {
    const page = this.#page;
    if (new URL(page.url()).pathname !== "/login") {
      // Setting the password signed in already: leave, so that the login is tried as well.
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.waitForURL("**/login**");
    }
    await page.getByLabel("Administrator's password").fill(this.#options.password);
    await this.#picture("login");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL((url) => url.pathname === "/");
    this.#options.onStage("logged in");
  }

  async #startGuest(): Promise<void> {
    const page = this.#page;
    const { guest } = this.#options;
    // The host may still be copying the guest's disk: it appears by itself once that is done.
    const link = page.getByRole("link", { name: guest, exact: true });
    await link.waitFor({ timeout: 120_000 * this.#options.patience });
    await this.#picture("guests");
    this.#options.onStage(`the guest ${guest} is there`);
    await link.click();
    const start = page.getByRole("button", { name: "Start", exact: true });
    await start.waitFor();
    await page.locator('[data-terminal="ready"]').waitFor();
    await this.#picture("guest-stopped");
    await start.click();
    await page.getByRole("heading", { level: 1 }).filter({ hasText: /running/i }).waitFor();
    this.#options.onStage("the guest runs");
  }

  async #useTerminal(): Promise<string> {
    const { user, password } = this.#options.login;
    await this.#terminalShows(/login: *$/);
    this.#options.onStage("the guest's prompt");
    await this.#picture("guest-prompt");
    await this.#page.locator(".xterm-helper-textarea").focus();
    await this.#type(`${user}\n`);
    await this.#terminalShows(/Password: *$/);
    await this.#type(`${password}\n`);
    await this.#terminalShows(/[#$] *$/);
    this.#options.onStage("logged in at the guest");
    await this.#type("uname -a\n");
    const [, answer] = await this.#terminalShows(/uname -a *(Linux \S+ \S+ #\d.*GNU\/Linux)/);
    await this.#picture("guest-answered");
    this.#options.onStage("the guest answered");
    return answer;
  }

  async #type(text: string): Promise<void> {
    await this.#page.keyboard.type(text, { delay: 30 });
  }

  /** Waits until the terminal's text matches; its rows count as one line, since it wraps long ones. */
  async #terminalShows(pattern: RegExp): Promise<RegExpMatchArray> {
    const until = Date.now() + 60_000 * this.#options.patience;
    let text = "";
    while (Date.now() < until) {
      const rows = await this.#page.locator(".xterm-rows > div").allTextContents();
      text = rows.map((row) => row.replaceAll("\u00a0", " ")).join("").trimEnd();
      const match = text.match(pattern);
      if (match) return match;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`Cannot find ${pattern} in the terminal, which shows:\n${text}`);
  }

  async #picture(name: string): Promise<void> {
    // Off every button, whose hint would cover what lies below.
    await this.#page.mouse.move(0, 0);
    const number = String(++this.#pictures).padStart(2, "0");
    await this.#page.screenshot({ path: `${this.#options.pictures}/${number}-${name}.png` });
  }
}
