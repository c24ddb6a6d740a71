/**
 * What the host's network stands on: the cards that Linux shows, and busybox to change links.
 *
 * @module
 */
import { setUp } from "../../hypervisor/sys/links.ts";
import type { NetworkCard } from "../../hypervisor/supervisor/api/network_schemas.ts";
import { type Ground, HostNetwork, type HostNetworkOptions } from "../network/host_network.ts";
import type { HostSocket } from "../host_socket.ts";
import { networkRoutes } from "../network/serve.ts";
import type { DhcpClient, Step } from "../network/plan.ts";
import { runTool } from "./children.ts";
import { type Coldplug, wiredCards } from "./coldplug.ts";
import { attempt, log } from "./log.ts";
import { names, number, read } from "./sysfs.ts";

/** Linux asks for no module by itself here. */
const MODULES: Readonly<Record<string, string>> = {
  bridge: "bridge",
  bond: "bonding",
  vlan: "8021q",
};

export interface LinuxGroundOptions {
  coldplug: Coldplug;
  startDhcp: (client: DhcpClient) => () => Promise<void>;
}

/** The real ground. */
export class LinuxGround implements Ground {
  readonly #coldplug: Coldplug;
  readonly startDhcp: Ground["startDhcp"];

  constructor({ coldplug, startDhcp }: LinuxGroundOptions) {
    this.#coldplug = coldplug;
    this.startDhcp = startDhcp;
  }

  cards(): NetworkCard[] {
    return wiredCards().flatMap((name) => {
      const folder = `/sys/class/net/${name}`;
      // A bond gives its own address to its cards; theirs is the permanent one.
      const mac = read(`${folder}/bonding_slave/perm_hwaddr`) ?? read(`${folder}/address`);
      return mac ? [{ name, mac, hasCarrier: number(`${folder}/carrier`) === 1 }] : [];
    });
  }

  portsOf(bridge: string): string[] {
    return names(`/sys/class/net/${bridge}/brif`);
  }

  async run(step: Step): Promise<void> {
    log(step.kind === "ip" ? `ip ${step.args.join(" ")}` : `${step.path}: ${step.text.trim()}`);
    if (step.kind === "write") return await write(step);
    const type = step.args[step.args.indexOf("type") + 1];
    if (step.args.includes("type") && Object.hasOwn(MODULES, type)) {
      await this.#coldplug.load(MODULES[type]);
    }
    await runTool("/bin/busybox", ["ip", ...step.args]);
  }
}

async function write({ path, text }: { path: string; text: string }): Promise<void> {
  // Files of Linux's own take no renaming, and other programs must never see half of the others.
  if (/^\/(sys|proc)\//.test(path)) return await Deno.writeTextFile(path, text, { create: false });
  await Deno.writeTextFile(`${path}.new`, text);
  await Deno.rename(`${path}.new`, path);
}

/** Brings the network up and keeps it so; the supervisor changes it by the socket. */
export async function startNetwork(
  coldplug: Coldplug,
  options: HostNetworkOptions & { socket: HostSocket },
): Promise<HostNetwork> {
  setUp("lo");
  const network = new HostNetwork(options);
  whenLinksChange(coldplug, () => void network.settle());
  options.socket.add(networkRoutes(network));
  await network.settle();
  return network;
}

/** Brings each card up once, as soon as it is there: finding the cable takes it seconds. */
export function wakeCards(coldplug: Coldplug): void {
  const woken = new Set<string>();
  const wake = () => {
    for (const name of wiredCards()) {
      if (woken.has(name)) continue;
      woken.add(name);
      attempt(`Cannot use the card ${name}`, () => setUp(name));
    }
  };
  whenLinksChange(coldplug, wake);
  wake();
}

/** Calls `listener` whenever a card or another link comes or goes. */
function whenLinksChange(coldplug: Coldplug, listener: () => void): void {
  coldplug.listen(({ env }) => {
    if (env.SUBSYSTEM === "net") listener();
  });
}
