/**
 * How the menu's views look.
 *
 * @module
 */
import { CONFIRM_SECONDS, MAIN_BRIDGE } from "../../hypervisor/supervisor/api/network_schemas.ts";
import { type Line, line, type Size, type Style } from "./canvas.ts";
import { bar } from "./host_page.ts";
import { type ItemName, ITEMS, type MenuContext, type View, whyNot } from "./menu.ts";
import { fieldsOf, type NetworkField, type NetworkForm } from "./network_form.ts";
import { fit, pad, wrap } from "./text.ts";

const ITEM_WORDS: Record<ItemName, string> = {
  network: `Network: the address of ${MAIN_BRIDGE}`,
  password: "Reset the console's password",
  undoUpdate: "Undo the last update",
  allowUpdate: "Allow one update that is older or not signed",
  shell: "Root shell",
  restart: "Restart",
  poweroff: "Power off",
  erase: "Factory reset: delete all guests and settings",
};

const SURE_WORDS = {
  password: "The console's password is forgotten, and everybody is signed out. This screen then " +
    "shows a code, by which whoever has it chooses a new one.",
  undoUpdate: "Guests are asked to shut down, and ended after a minute. Then the host restarts " +
    "with the system of before, and with the settings that it had.",
  allowUpdate:
    "For half an hour, the console takes one update that is older than this system, or " +
    "that nobody signed. Whoever made it has all of this host. Do this only if you know who did.",
  restart: "Guests are asked to shut down, and ended after a minute. Then the host restarts.",
  poweroff: "Guests are asked to shut down, and ended after a minute. Then the host powers off.",
} as const;

interface Panel {
  title: string;
  lines: Line[];
  hint: string;
}

/** The page of a view that is not the host's own. */
export function menuPage(
  view: Exclude<View, { kind: "host" }>,
  context: MenuContext,
  { columns, rows }: Size,
): Line[] {
  const { title, lines, hint } = panel(view, context, columns);
  const page = [bar(` ${context.hostname} - ${title}`, columns), [], ...lines].slice(0, rows - 2);
  while (page.length < rows - 1) page.push([]);
  return [...page, bar(` ${hint}`, columns)];
}

function panel(
  view: Exclude<View, { kind: "host" }>,
  context: MenuContext,
  columns: number,
): Panel {
  const words = (text: string, style: Style = "plain") =>
    wrap(text, columns - 4).map((it) => line(`  ${it}`, style));
  switch (view.kind) {
    case "menu":
      return {
        title: "menu",
        lines: ITEMS.flatMap((it) => itemLines(it, it === view.at, { context, columns })),
        hint: "Up, Down: choose   Enter: do it   Esc: back",
      };
    case "network":
      return {
        title: `the address of ${MAIN_BRIDGE}`,
        lines: [
          ...formLines(view.form, columns),
          [],
          ...words(
            `The change is undone after ${CONFIRM_SECONDS} s, unless it is confirmed here or in the console.`,
            "soft",
          ),
          ...(view.form.error === null ? [] : [[], ...words(view.form.error, "bad")]),
        ],
        hint: "Tab: next line   Left, Right: DHCP or fixed   Enter: try it   Esc: back",
      };
    case "trial":
      return {
        title: "a network is tried",
        lines: [
          ...(context.trialSeconds === null
            ? words("It is over: press a key.")
            : words(`It is undone in ${context.trialSeconds} s, unless it is kept.`, "strong")),
          ...(view.error === null ? [] : [[], ...words(view.error, "bad")]),
        ],
        hint: "Enter: keep it   Esc: undo it now",
      };
    case "sure":
      return {
        title: ITEM_WORDS[view.item],
        lines: words(SURE_WORDS[view.item]),
        hint: "Enter: do it   Esc: back",
      };
    case "erase":
      return {
        title: "factory reset",
        lines: [
          ...words(
            "All guests with their disks and snapshots, all images, all settings, the log and the " +
              "console's password and certificate are deleted at the next start, which begins at " +
              "once. Nothing brings them back.",
          ),
          [],
          ...words(`Type the host's name to do it: ${context.hostname}`),
          [],
          input("Name", view.typed, { isAt: true, columns }),
          ...(view.isWrong ? [[], ...words("That is not the host's name.", "bad")] : []),
        ],
        hint: "Enter: delete everything   Esc: back",
      };
    case "notice":
      return { title: "menu", lines: words(view.text), hint: "Enter: back" };
    case "busy":
      return { title: "menu", lines: words(`${view.text} ...`, "strong"), hint: "" };
  }
}

function itemLines(
  item: ItemName,
  isChosen: boolean,
  { context, columns }: { context: MenuContext; columns: number },
): Line[] {
  const why = whyNot(item, context);
  const text = pad(`  ${ITEM_WORDS[item]}${why === null ? "" : ` (${why})`}`, columns - 4);
  const style = isChosen ? "chosen" : why === null ? "plain" : "soft";
  return [[{ text: "  ", style: "plain" }, { text, style }]];
}

const FIELD_WORDS: Record<Exclude<NetworkField, "method">, string> = {
  address: "Address",
  gateway: "Gateway",
  dns: "Name servers",
};

function formLines(form: NetworkForm, columns: number): Line[] {
  return fieldsOf(form).flatMap((field): Line[] => {
    const isAt = field === form.at;
    if (field !== "method") return [input(FIELD_WORDS[field], form[field], { isAt, columns })];
    const option = (method: string, words: string) => ({
      text: ` ${words} `,
      style: form.method === method ? (isAt ? "chosen" : "strong") : "soft",
    } as const);
    return [[
      { text: pad("  Address by", LABEL), style: "label" },
      option("dhcp", form.method === "dhcp" ? "(x) DHCP" : "( ) DHCP"),
      option("static", form.method === "static" ? "(x) fixed" : "( ) fixed"),
    ]];
  });
}

const LABEL = 18;

/** A line to type into: of a long text its end, where the next character goes. */
function input(
  label: string,
  text: string,
  { isAt, columns }: { isAt: boolean; columns: number },
): Line {
  const width = Math.max(8, Math.min(44, columns - LABEL - 4));
  const tail = fit(text, text.length).slice(-(width - 1));
  return [
    { text: pad(`  ${label}`, LABEL), style: "label" },
    { text: `[${tail}`, style: isAt ? "strong" : "plain" },
    ...(isAt
      ? [{ text: " ", style: "chosen" } as const]
      : [{ text: " ", style: "plain" } as const]),
    { text: `${" ".repeat(Math.max(0, width - 1 - tail.length))}]`, style: "soft" },
  ];
}
