/**
 * The menu on the host's own screen as a machine of states: what is shown, what a key makes of it, and
 * what is then to be done.
 *
 * @module
 */
import type { Network } from "../../hypervisor/supervisor/api/network_schemas.ts";
import type { PowerCommand } from "../../hypervisor/sys/reboot.ts";
import type { Key, KeyName } from "./keys.ts";
import { formOf, type NetworkForm, networkOf, typed, typeInto } from "./network_form.ts";

/** What is shown. */
export type View =
  | { kind: "host" }
  | { kind: "menu"; at: ItemName }
  | { kind: "network"; form: NetworkForm }
  /** A network is tried: by this screen, or by anybody else. */
  | { kind: "trial"; error: string | null }
  | { kind: "sure"; item: SureItem }
  | { kind: "erase"; typed: string; isWrong: boolean }
  | { kind: "notice"; text: string }
  | { kind: "busy"; text: string };

/** What is to be done. */
export type Effect =
  | { do: "tryNetwork"; network: Network }
  | {
    do:
      | "keepNetwork"
      | "undoNetwork"
      | "resetPassword"
      | "erase"
      | "shell"
      | "undoUpdate"
      | "allowUpdate";
  }
  | { do: "power"; command: PowerCommand };

/** What the menu has to know of the host. */
export interface MenuContext {
  hostname: string;
  /** What the settings let whoever stands before the host do. */
  menu: "full" | "power" | "none";
  shell: boolean;
  /** Null while the network is not up. */
  network: Network | null;
  /** How long until the network that is tried is undone; null while none is. */
  trialSeconds: number | null;
  /** Why the update before cannot be gone back to; null where it can. */
  whyNoUndo: string | null;
}

export const ITEMS = [
  "network",
  "password",
  "undoUpdate",
  "allowUpdate",
  "shell",
  "restart",
  "poweroff",
  "erase",
] as const;
export type ItemName = (typeof ITEMS)[number];
/** What is asked about once more. */
export type SureItem = "password" | "undoUpdate" | "allowUpdate" | "restart" | "poweroff";

const LOCKED = "locked by `screen` in denovisor.yaml";

/** Why an item cannot be chosen; null where it can. */
export function whyNot(item: ItemName, context: MenuContext): string | null {
  const isPower = item === "restart" || item === "poweroff";
  if (context.menu === "none" || context.menu === "power" && !isPower) return LOCKED;
  if (item === "shell" && !context.shell) return LOCKED;
  if (item === "network" && context.network === null) return "the network is not up yet";
  if (item === "undoUpdate") return context.whyNoUndo;
  return null;
}

export interface Step {
  view: View;
  effect?: Effect;
}

const HOST: View = { kind: "host" };
const MENU = (at: ItemName): View => ({ kind: "menu", at });

/** What a key makes of a view. */
export function press(view: View, key: Key, context: MenuContext): Step {
  const name = "name" in key ? key.name : null;
  switch (view.kind) {
    case "host":
      if (context.menu === "none" || name !== "enter") return { view };
      return { view: context.trialSeconds === null ? MENU("network") : TRIAL };
    case "menu":
      return pressInMenu(view.at, name, context);
    case "network":
      return pressInForm(view.form, key, context);
    case "trial":
      return pressInTrial(view, name, context);
    case "sure":
      if (name === "escape") return { view: MENU(view.item) };
      return name === "enter" ? sure(view.item) : { view };
    case "erase":
      return pressInErase(view, key, context);
    case "notice":
      return name === "enter" || name === "escape" ? { view: HOST } : { view };
    case "busy":
      return { view };
  }
}

const TRIAL: View = { kind: "trial", error: null };

function pressInMenu(at: ItemName, name: KeyName | null, context: MenuContext): Step {
  const move = (by: number): Step => ({
    view: MENU(ITEMS[(ITEMS.indexOf(at) + by + ITEMS.length) % ITEMS.length]),
  });
  switch (name) {
    case "up":
    case "backtab":
      return move(-1);
    case "down":
    case "tab":
      return move(1);
    case "home":
      return { view: MENU(ITEMS[0]) };
    case "end":
      return { view: MENU(ITEMS[ITEMS.length - 1]) };
    case "escape":
      return { view: HOST };
    case "enter":
      // What cannot be chosen says why where it stands.
      return whyNot(at, context) === null ? choose(at, context) : { view: MENU(at) };
  }
  return { view: MENU(at) };
}

function choose(item: ItemName, { network, trialSeconds }: MenuContext): Step {
  switch (item) {
    case "network":
      if (trialSeconds !== null) return { view: TRIAL };
      return { view: { kind: "network", form: formOf(network!) } };
    case "password":
    case "undoUpdate":
    case "allowUpdate":
    case "restart":
    case "poweroff":
      return { view: { kind: "sure", item } };
    case "erase":
      return { view: { kind: "erase", typed: "", isWrong: false } };
    case "shell":
      return { view: HOST, effect: { do: "shell" } };
  }
}

function sure(item: SureItem): Step {
  if (item === "undoUpdate") {
    return { view: { kind: "busy", text: "Going back" }, effect: { do: item } };
  }
  if (item === "allowUpdate") {
    return { view: { kind: "busy", text: "Allowing it" }, effect: { do: item } };
  }
  if (item === "password") {
    return {
      view: { kind: "busy", text: "Resetting the password" },
      effect: { do: "resetPassword" },
    };
  }
  return {
    view: HOST,
    effect: { do: "power", command: item === "restart" ? "reboot" : "poweroff" },
  };
}

function pressInForm(form: NetworkForm, key: Key, { network }: MenuContext): Step {
  if ("name" in key && key.name === "escape") return { view: MENU("network") };
  if (!("name" in key) || key.name !== "enter") {
    return { view: { kind: "network", form: typeInto(form, key) } };
  }
  if (network === null) return { view: HOST };
  const found = networkOf(network, form);
  if ("error" in found) return { view: { kind: "network", form: { ...form, error: found.error } } };
  return {
    view: { kind: "busy", text: "Asking for the new network" },
    effect: { do: "tryNetwork", network: found.network },
  };
}

function pressInTrial(view: View, name: KeyName | null, { trialSeconds }: MenuContext): Step {
  // It is over: undone, or kept by somebody else.
  if (trialSeconds === null) return { view: HOST };
  if (name === "enter") return { view: TRIAL, effect: { do: "keepNetwork" } };
  if (name === "escape") return { view: HOST, effect: { do: "undoNetwork" } };
  return { view };
}

function pressInErase(
  { typed: before }: { typed: string },
  key: Key,
  { hostname }: MenuContext,
): Step {
  if ("name" in key && key.name === "escape") return { view: MENU("erase") };
  if (!("name" in key) || key.name !== "enter") {
    return { view: { kind: "erase", typed: typed(before, key), isWrong: false } };
  }
  if (before !== hostname) return { view: { kind: "erase", typed: before, isWrong: true } };
  return { view: { kind: "busy", text: "Preparing the reset" }, effect: { do: "erase" } };
}

/** A view after a while without keys: what a host shows is more use to whoever comes by than a menu. */
export function leftAlone(view: View): View {
  return view.kind === "busy" || view.kind === "trial" ? view : HOST;
}
