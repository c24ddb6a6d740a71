/**
 * The page on the host's display, and the menu that keys make of it.
 *
 * @module
 */
import { clip, type Line, paint, type Size } from "../screen/canvas.ts";
import { hostPage, type HostState } from "../screen/host_page.ts";
import type { Key } from "../screen/keys.ts";
import { type Effect, leftAlone, type MenuContext, press, type View } from "../screen/menu.ts";
import { menuPage } from "../screen/menu_page.ts";
import type { Terminal } from "./terminal.ts";

export interface HostScreenOptions {
  terminal: Terminal;
  context: () => MenuContext;
  /** Does what was chosen; the view that comes back is shown then. Throws why it cannot. */
  act: (effect: Effect) => Promise<View>;
  idleMs?: number;
  tickMs?: number;
}

/** After this long without a key, the host's own page is back. */
const IDLE_MS = 5 * 60_000;
/** While something counts down. */
const TICK_MS = 1000;

export class HostScreen {
  readonly #options: HostScreenOptions;
  #state: HostState | null = null;
  #view: View = { kind: "host" };
  #drawn: { lines: Line[]; size: Size } | null = null;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #tick: ReturnType<typeof setInterval> | undefined;

  constructor(options: HostScreenOptions) {
    this.#options = options;
    options.terminal.onKey((key) => this.#press(key));
  }

  get view(): View {
    return this.#view;
  }

  /** When all is drawn that there was to draw. */
  get settled(): Promise<unknown> {
    return this.#options.terminal.settled;
  }

  /** Shows how the host is now. */
  show(state: HostState): void {
    this.#state = state;
    // The end of the host is everybody's to see, whatever somebody has just opened.
    if (this.#options.context().menu === "none" && this.#view.kind !== "host") {
      this.#turnTo({ kind: "host" });
    } else this.#draw();
  }

  #press(key: Key): void {
    const { context, act, idleMs = IDLE_MS } = this.#options;
    if ("name" in key && key.name === "redraw") this.#drawn = null;
    if (this.#state === null) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#turnTo(leftAlone(this.#view)), idleMs);
    const { view, effect } = press(this.#view, key, context());
    this.#turnTo(view);
    if (effect === undefined) return;
    act(effect).catch((error): View => {
      const text = error instanceof Error ? error.message : String(error);
      return effect.do === "keepNetwork" || effect.do === "undoNetwork"
        ? { kind: "trial", error: text }
        : { kind: "notice", text };
    }).then((next) => {
      // Unless somebody has gone on meanwhile.
      if (this.#view === view) this.#turnTo(next);
    });
  }

  #turnTo(view: View): void {
    const { context, tickMs = TICK_MS } = this.#options;
    this.#view = view;
    clearInterval(this.#tick);
    if (view.kind === "trial") {
      this.#tick = setInterval(() => {
        if (context().trialSeconds === null) this.#turnTo({ kind: "host" });
        else this.#draw();
      }, tickMs);
    }
    this.#draw();
  }

  #draw(): void {
    if (this.#state === null) return;
    const { terminal, context } = this.#options;
    const size = terminal.size();
    const view = this.#view;
    const lines = clip(
      view.kind === "host" ? hostPage(this.#state, size) : menuPage(view, context(), size),
      size,
    );
    const before = this.#drawn;
    const isSame = before?.size.columns === size.columns && before.size.rows === size.rows;
    const output = paint(isSame ? before.lines : null, lines);
    this.#drawn = { lines, size };
    if (output !== "") terminal.write(output);
  }
}
