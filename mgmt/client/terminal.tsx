import type { FitAddon } from "@xterm/addon-fit";
import type { ITheme, Terminal as Xterm } from "@xterm/xterm";
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../components/icons.tsx";
import { goToLogin } from "./api.ts";
import { allowStyleAttributes, withNonce } from "./csp_style.ts";
import { type LinkState, TerminalLink } from "./terminal_link.ts";

interface TerminalProps {
  guestId: string;
  name: string;
  /** Whether there is a serial port to talk to. */
  isOn: boolean;
}

/** The same in both themes: a screen is dark. */
const THEME: ITheme = {
  background: "#0d1211",
  foreground: "#dfe7e2",
  cursor: "#74d6b8",
  cursorAccent: "#0d1211",
  selectionBackground: "#2c5c50",
  black: "#1c2422",
  red: "#ff8f84",
  green: "#6fdc9c",
  yellow: "#f1c467",
  blue: "#8ab8ff",
  magenta: "#d9a4f5",
  cyan: "#6fd6d9",
  white: "#dfe7e2",
  brightBlack: "#7d8a85",
  brightRed: "#ffb3ab",
  brightGreen: "#9bf0bd",
  brightYellow: "#ffdd9b",
  brightBlue: "#b3d1ff",
  brightMagenta: "#ebc8ff",
  brightCyan: "#a3eef0",
  brightWhite: "#ffffff",
};

/** Guests take a serial terminal to be this wide. */
const COLUMNS = 80;

const STATES: Record<LinkState, string> = {
  connecting: "Connecting",
  open: "Connected",
  waiting: "Connecting again",
  closed: "Not connected",
};

export function Terminal({ guestId, name, isOn }: TerminalProps) {
  const place = useRef<HTMLDivElement>(null);
  const card = useRef<HTMLElement>(null);
  const way = useRef<HTMLButtonElement>(null);
  const link = useRef<TerminalLink | null>(null);
  const [xterm, setXterm] = useState<Xterm | null>(null);
  const [state, setState] = useState<LinkState>("closed");

  useEffect(() => {
    let isGone = false;
    let dispose = () => {};
    void createTerminal(place.current!, {
      onData: (text) => link.current?.send(text),
      onLeave: () => way.current?.focus(),
    }).then((created) => {
      dispose = created.dispose;
      if (isGone) return dispose();
      setXterm(created.xterm);
    });
    return () => {
      isGone = true;
      dispose();
    };
  }, []);

  useEffect(() => {
    if (!xterm || !isOn) return;
    const opened = link.current = new TerminalLink(guestId, {
      onOpen: () => xterm.reset(),
      onBytes: (bytes) => xterm.write(bytes),
      onState: setState,
      onSignedOut: goToLogin,
    });
    return () => {
      link.current = null;
      opened.close();
    };
  }, [xterm, guestId, isOn]);

  return (
    <section class="serial" ref={card} aria-label={`Serial console of ${name}`}>
      <div class="serial-head">
        <h2>
          <Icon name="terminal" /> Serial console
        </h2>
        <span class={`serial-state link-${state}`} role="status">{STATES[state]}</span>
        <button
          type="button"
          class="button quiet small on-dark"
          ref={way}
          onClick={() => toggleFullScreen(card.current!)}
        >
          <Icon name="expand" />
          <span class="unseen">Full screen</span>
        </button>
      </div>
      <div class="serial-screen">
        <div
          class="serial-place"
          ref={place}
          data-terminal={xterm ? "ready" : "loading"}
          onFocusCapture={() => card.current?.classList.add("typing")}
          onBlurCapture={() => card.current?.classList.remove("typing")}
        />
        {!isOn && (
          <p class="serial-off">
            {name} is off. Start it to see its screen
          </p>
        )}
      </div>
      <p class="serial-foot">
        <kbd>t</kbd> types here, <kbd>Shift</kbd>
        <kbd>Esc</kbd> leaves
      </p>
    </section>
  );
}

function toggleFullScreen(element: HTMLElement): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void element.requestFullscreen();
}

interface Created {
  xterm: Xterm;
  dispose: () => void;
}

/** Its code is loaded only by pages that have a terminal. */
async function createTerminal(
  place: HTMLElement,
  handlers: { onData(text: string): void; onLeave(): void },
): Promise<Created> {
  const [{ Terminal }, { FitAddon }] = await Promise.all([
    import("@xterm/xterm"),
    import("@xterm/addon-fit"),
  ]);
  const xterm = new Terminal({
    theme: THEME,
    fontFamily: 'ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
    fontSize: 14,
    lineHeight: 1.15,
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    scrollback: 5000,
    minimumContrastRatio: 4.5,
    screenReaderMode: true,
  });
  const fit = new FitAddon();
  xterm.loadAddon(fit);
  allowStyleAttributes();
  withNonce(() => xterm.open(place));
  xterm.onData(handlers.onData);
  xterm.attachCustomKeyEventHandler((event) => {
    if (!(event.shiftKey && event.key === "Escape")) return true;
    if (event.type === "keydown") handlers.onLeave();
    return false;
  });
  const resize = () => fitTo(xterm, fit);
  const observer = new ResizeObserver(resize);
  observer.observe(place.parentElement!);
  resize();
  const dispose = () => {
    observer.disconnect();
    xterm.dispose();
  };
  return { xterm, dispose };
}

/** As many rows and columns as there is room for, but never fewer columns than guests expect. */
function fitTo(xterm: Xterm, fit: FitAddon): void {
  const size = fit.proposeDimensions();
  if (!size || Number.isNaN(size.cols) || Number.isNaN(size.rows)) return;
  xterm.resize(Math.max(COLUMNS, size.cols), Math.max(10, size.rows));
}
