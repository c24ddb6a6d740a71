/**
 * The form by which the main bridge gets its address, and the network that it means.
 *
 * @module
 */
import { explainIssue } from "../../hypervisor/supervisor/api/field_errors.ts";
import { MAIN_BRIDGE, Network } from "../../hypervisor/supervisor/api/network_schemas.ts";
import type { Key } from "./keys.ts";
import { printable } from "./text.ts";

/** Its lines, from above. */
export const NETWORK_FIELDS = ["method", "address", "gateway", "dns"] as const;
export type NetworkField = (typeof NETWORK_FIELDS)[number];

export interface NetworkForm {
  /** The line that keys go to. */
  at: NetworkField;
  method: "dhcp" | "static";
  /** With its prefix. */
  address: string;
  gateway: string;
  /** Name servers, with spaces or commas between. */
  dns: string;
  /** Why it was not taken. */
  error: string | null;
}

const LONGEST = 120;

/** What a network looks like in the form. */
export function formOf({ bridges, dns }: Network): NetworkForm {
  const main = bridges.find(({ name }) => name === MAIN_BRIDGE);
  return {
    at: "method",
    method: main?.ipv4.method === "static" ? "static" : "dhcp",
    address: main?.ipv4.address ?? "",
    gateway: main?.ipv4.gateway ?? "",
    dns: dns.join(" "),
    error: null,
  };
}

/** The network that `before` becomes by the form, checked as every other is; or what is wrong. */
export function networkOf(
  before: Network,
  form: NetworkForm,
): { network: Network } | { error: string } {
  const ipv4 = form.method === "dhcp"
    ? { method: "dhcp" }
    : { method: "static", address: form.address, gateway: form.gateway || null };
  const result = Network.safeParse({
    ...before,
    bridges: before.bridges.map((it) => it.name === MAIN_BRIDGE ? { ...it, ipv4 } : it),
    dns: form.dns.split(/[\s,]+/).filter(Boolean),
  }, { error: explainIssue });
  if (result.success) return { network: result.data };
  const { path, message } = result.error.issues[0];
  return {
    error: `${
      WORDS[String(path.findLast((it) => typeof it === "string"))] ?? path.join(".")
    } ${message}`,
  };
}

const WORDS: Record<string, string> = {
  address: "The address",
  gateway: "The gateway",
  dns: "A name server",
};

/** The lines that count: an address is asked for only where it is not the network's to give. */
export function fieldsOf({ method }: NetworkForm): readonly NetworkField[] {
  return method === "static" ? NETWORK_FIELDS : ["method", "dns"];
}

/** The form after a key that is not the one which ends it. */
export function typeInto(form: NetworkForm, key: Key): NetworkForm {
  const fields = fieldsOf(form);
  const move = (by: number): NetworkForm => ({
    ...form,
    at: fields[(fields.indexOf(form.at) + by + fields.length) % fields.length],
  });
  if ("name" in key) {
    switch (key.name) {
      case "up":
      case "backtab":
        return move(-1);
      case "down":
      case "tab":
        return move(1);
      case "left":
      case "right":
        return form.at === "method" ? toggled(form) : form;
    }
  } else if (form.at === "method" && key.char === " ") return toggled(form);
  if (form.at === "method") return form;
  return { ...form, [form.at]: typed(form[form.at], key), error: null };
}

function toggled(form: NetworkForm): NetworkForm {
  return { ...form, method: form.method === "dhcp" ? "static" : "dhcp", error: null };
}

/** A line of text after a key. */
export function typed(text: string, key: Key): string {
  if ("char" in key) return text.length < LONGEST ? text + printable(key.char) : text;
  return key.name === "backspace" || key.name === "delete" ? text.slice(0, -1) : text;
}
