/**
 * Keys that work on every page.
 *
 * @module
 */

export interface Shortcut {
  keys: string[];
  what: string;
}

export const SHORTCUTS: { where: string; list: Shortcut[] }[] = [
  {
    where: "Everywhere",
    list: [
      { keys: ["g", "g"], what: "Go to the guests" },
      { keys: ["g", "i"], what: "Go to the images" },
      { keys: ["g", "h"], what: "Go to the hosts" },
      { keys: ["g", "d"], what: "Go to the disks" },
      { keys: ["g", "s"], what: "Go to the settings" },
      { keys: ["g", "l"], what: "Go to the log" },
      { keys: ["g", "u"], what: "Go to the updates" },
      { keys: ["u"], what: "Show what is under way" },
      { keys: ["n"], what: "New guest" },
      { keys: ["/"], what: "Find a guest" },
      { keys: ["?"], what: "Show these keys" },
    ],
  },
  {
    where: "At a guest",
    list: [
      { keys: ["s"], what: "Start it" },
      { keys: ["t"], what: "Type in its terminal" },
      { keys: ["Shift", "Esc"], what: "Leave the terminal" },
    ],
  },
];

const SEQUENCE_MS = 1200;

/** Calls `run` with "n" or "g i" for keys pressed outside of fields; returns how to stop. */
export function listenForKeys(run: (keys: string) => boolean): () => void {
  let first = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const keys = first === "" ? event.key : `${first} ${event.key}`;
    first = "";
    clearTimeout(timer);
    if (run(keys)) {
      event.preventDefault();
    } else if (event.key === "g") {
      first = "g";
      timer = setTimeout(() => first = "", SEQUENCE_MS);
    }
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Follows a link of the page as if it were clicked, so that it goes the way of all links. */
export function follow(href: string): void {
  const link = document.createElement("a");
  link.href = href;
  document.body.append(link);
  link.click();
  link.remove();
}
