/**
 * Commands for the host's own network.
 *
 * @module
 */
import { confirmNetwork } from "../api/confirm_network.ts";
import type { Bridge, HostNetwork, NetworkInput } from "../api/schemas.ts";
import { parseRest, UsageError, wholeNumber } from "./arguments.ts";
import { type Command, type Context, show, words } from "./command.ts";
import { table } from "./table.ts";

type Verb = (context: Context, rest: string[]) => Promise<void>;

const WORDS = "[show] | set BRIDGE OPTIONS | rm BRIDGE | put FILE | confirm | undo";

function row({ name, uplink, vlan, ipv4, ipv6 }: Bridge): string[] {
  const tell = (it: Bridge["ipv4"] | Bridge["ipv6"]) =>
    (it.address ?? it.method) + (it.gateway === null ? "" : ` by ${it.gateway}`);
  return [name, uplink ?? "-", vlan?.toString() ?? "-", tell(ipv4), tell(ipv6)];
}

async function tell(context: Context, host: HostNetwork): Promise<void> {
  const { network: kept, trial, cards, problem } = host;
  const network = trial?.network ?? kept;
  await show(context, host, [
    ["BRIDGE", "UPLINK", "VLAN", "IPV4", "IPV6"],
    ...network.bridges.map(row),
  ]);
  if (context.json) return;
  const notes = [
    ...network.bonds.map((it) => `${it.name}, ${it.mode}: ${it.cards.join(", ")}`),
    ...(network.dns.length === 0 ? [] : [`Name servers: ${network.dns.join(", ")}`]),
    ...cards.map((it) => `Card ${it.mac} (${it.name}): ${it.hasCarrier ? "cable" : "no cable"}`),
    ...(problem === null ? [] : [problem]),
    ...(trial === null ? [] : [
      `This is undone in ${trial.secondsLeft} s, unless you run: denovisor network confirm`,
    ]),
  ];
  for (const note of notes) await context.out(table([[note]]));
}

/** What is to become of an address: a method, or a fixed one with its prefix. */
function addresses<M extends string>(
  before: { method: string; gateway: string | null } | undefined,
  options: { address: unknown; gateway: unknown; methods: readonly M[] },
): { method: M | "static"; address?: string; gateway?: string | null } | undefined {
  const { address, gateway, methods } = options;
  if (address === undefined && gateway === undefined) return undefined;
  const method = methods.find((it) => it === address);
  if (method) return { method };
  const kept = before?.method === "static" ? before.gateway : null;
  const way = gateway === undefined ? kept : gateway === "none" ? null : String(gateway);
  return {
    ...before,
    method: "static",
    ...(address === undefined ? {} : { address: String(address) }),
    gateway: way,
  };
}

/** The network as it is, or is tried: what a command changes a part of. */
async function current({ api }: Context): Promise<NetworkInput> {
  const { network, trial } = await api.client.call("getNetwork", {});
  return trial?.network ?? network;
}

async function change(context: Context, body: NetworkInput): Promise<void> {
  await tell(context, await context.api.client.call("changeNetwork", { body }));
}

const VERBS: Record<string, Verb> = {
  async show(context, rest) {
    words(rest);
    await tell(context, await context.api.client.call("getNetwork", {}));
  },
  async set(context, rest) {
    const { words: [name, ...more], options } = parseRest(rest, {
      strings: ["uplink", "vlan", "ipv4", "gateway", "ipv6", "gateway6", "dns"],
    });
    if (name === undefined || more.length > 0) throw new UsageError("it takes BRIDGE and options");
    const network = await current(context);
    const bridges = network.bridges ?? [];
    const before = bridges.find((it) => it.name === name);
    const { uplink, vlan, ipv4, gateway, ipv6, gateway6, dns } = options;
    const old = before as Bridge | undefined;
    const bridge = {
      name,
      ...before,
      ...(uplink !== undefined && { uplink: uplink === "none" ? null : String(uplink) }),
      ...(vlan !== undefined && { vlan: vlan === "none" ? null : wholeNumber(vlan, "vlan") }),
      ipv4: addresses(old?.ipv4, { address: ipv4, gateway, methods: ["dhcp", "none"] }) ??
        before?.ipv4,
      ipv6: addresses(old?.ipv6, { address: ipv6, gateway: gateway6, methods: ["auto", "none"] }) ??
        before?.ipv6,
    };
    await change(context, {
      ...network,
      bridges: before ? bridges.map((it) => it === before ? bridge : it) : [...bridges, bridge],
      ...(dns !== undefined && { dns: String(dns).split(",").filter(Boolean) }),
    });
  },
  async rm(context, rest) {
    const [name] = words(rest, "BRIDGE");
    const network = await current(context);
    const bridges = network.bridges ?? [];
    if (!bridges.some((it) => it.name === name)) {
      throw new UsageError(`there is no bridge "${name}"`);
    }
    await change(context, { ...network, bridges: bridges.filter((it) => it.name !== name) });
  },
  async put(context, rest) {
    const [file] = words(rest, "FILE");
    await change(context, JSON.parse(await Deno.readTextFile(file)));
  },
  async confirm(context, rest) {
    words(rest);
    const { client } = context.api;
    await tell(context, await confirmNetwork((operation, input) => client.call(operation, input)));
  },
  async undo(context, rest) {
    words(rest);
    await tell(context, await context.api.client.call("undoNetwork", {}));
  },
};

export const NETWORK_COMMAND: Command = {
  name: "network",
  words: `${WORDS}
      OPTIONS: [--uplink any|MAC|BOND|none] [--vlan N|none] [--ipv4 dhcp|none|ADDRESS/PREFIX]
               [--gateway ADDRESS|none] [--ipv6 auto|none|ADDRESS/PREFIX] [--gateway6 ADDRESS|none]
               [--dns ADDRESS,...]`,
  summary: "The host's own network; a change is undone after 60 s unless it is confirmed",
  async run(context, [verb = "show", ...rest]) {
    const act = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
    if (act === undefined) throw new UsageError(`it takes ${WORDS}`);
    await act(context, rest);
  },
};
