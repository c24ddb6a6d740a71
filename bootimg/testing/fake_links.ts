/**
 * Links as Linux has them, as far as a plan of the network can tell: a command that Linux would refuse
 * is refused here.
 *
 * @module
 */
import type { NetworkCard } from "../../hypervisor/supervisor/api/network_schemas.ts";
import type { Ground } from "../network/host_network.ts";
import type { DhcpClient, Step } from "../network/plan.ts";

interface Link {
  kind: "card" | "bridge" | "bond" | "vlan" | "tap";
  isUp: boolean;
  master: string | null;
  /** A VLAN's lower link and its tag. */
  over: string | null;
  mac: string | null;
  mode: string | null;
  addresses: string[];
  routes: string[];
}

export class FakeLinks implements Ground {
  readonly links = new Map<string, Link>();
  readonly files = new Map<string, string>();
  readonly clients: DhcpClient[] = [];
  /** Everything that was run. */
  readonly steps: Step[] = [];
  /** Stands in the way of what matches it. */
  broken: RegExp | null = null;
  #cards: NetworkCard[] = [];

  setCards(cards: NetworkCard[]): void {
    for (const { name } of this.#cards) {
      if (!cards.some((it) => it.name === name)) this.#delete(name);
    }
    for (const { name } of cards) if (!this.links.has(name)) this.#add(name, "card");
    this.#cards = cards;
  }

  /** Puts a guest's tap into a bridge. */
  addTap(name: string, bridge: string): void {
    this.#add(name, "tap").master = bridge;
  }

  cards(): NetworkCard[] {
    return this.#cards;
  }

  portsOf(bridge: string): string[] {
    return [...this.links].filter(([, it]) => it.master === bridge).map(([name]) => name);
  }

  startDhcp(client: DhcpClient): () => Promise<void> {
    this.clients.push(client);
    return () => {
      this.clients.splice(this.clients.indexOf(client), 1);
      return Promise.resolve();
    };
  }

  run(step: Step): Promise<void> {
    this.steps.push(step);
    try {
      const words = step.kind === "ip" ? step.args.join(" ") : step.path;
      if (this.broken?.test(words)) throw new Error(`Cannot run "${words}": broken`);
      if (step.kind === "ip") this.#ip(step.args);
      else this.#write(step.path, step.text);
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** What there is, in an order of its own, for comparisons. */
  get picture(): unknown {
    const links = [...this.links].map(([name, link]) => {
      // Without its card a bridge may keep the card's address.
      const isBare = link.kind === "bridge" && this.portsOf(name).length === 0;
      // Addresses and routes of the two families come in either order.
      const [addresses, routes] = [link.addresses.toSorted(), link.routes.toSorted()];
      return [name, { ...link, addresses, routes, mac: isBare ? null : link.mac }];
    });
    const files = [...this.files].filter(([path]) =>
      links.some(([it]) => path.includes(`/${it}/`))
    );
    return [links, files, this.clients].map((it) => it.map((x) => JSON.stringify(x)).sort());
  }

  #ip(args: string[]): void {
    const [family, words] = args[0].startsWith("-") ? [args[0], args.slice(1)] : ["", args];
    const text = words.join(" ");
    const run = (pattern: RegExp, act: (...groups: string[]) => void) => {
      const match = pattern.exec(text);
      if (match) act(...match.slice(1));
      return match !== null;
    };
    const known =
      run(/^link add (\S+) type (bridge|bond)$/, (name, kind) => this.#add(name, kind)) ||
      run(/^link add link (\S+) name (\S+) type vlan id (\d+)$/, (link, name, id) => {
        this.#get(link);
        this.#add(name, "vlan").over = `${link} ${id}`;
      }) ||
      run(/^link delete (\S+)$/, (name) => this.#delete(name)) ||
      run(/^link set (\S+) up$/, (name) => this.#get(name).isUp = true) ||
      run(/^link set (\S+) down$/, (name) => this.#get(name).isUp = false) ||
      run(/^link set (\S+) nomaster$/, (name) => this.#get(name).master = null) ||
      run(/^link set (\S+) address (\S+)$/, (name, mac) => this.#get(name).mac = mac) ||
      run(/^link set (\S+) master (\S+)$/, (name, master) => {
        const [link, over] = [this.#get(name), this.#get(master)];
        if (link.master !== null && link.master !== master) throw new Error(`${name} has a master`);
        if (over.kind === "bond") {
          if (link.isUp) throw new Error(`${name} is up, so ${master} cannot have it`);
          link.isUp = true;
        }
        link.master = master;
      }) ||
      run(/^address flush dev (\S+)$/, (name) => {
        this.#get(name).addresses = this.#get(name).addresses.filter((it) => it.includes(":"));
        this.#get(name).routes = this.#get(name).routes.filter((it) => it.includes(":"));
      }) ||
      run(/^address add (\S+) dev (\S+)$/, (address, name) => {
        const off = this.files.get(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`);
        if (family === "-6" && off !== "0") throw new Error(`${name} has no IPv6`);
        this.#get(name).addresses.push(address);
      }) ||
      run(/^route replace default via (\S+) dev (\S+)$/, (gateway, name) => {
        if (!this.#get(name).isUp) throw new Error(`${name} is down`);
        for (const link of this.links.values()) {
          link.routes = link.routes.filter((it) => it.includes(":") !== gateway.includes(":"));
        }
        this.#get(name).routes.push(gateway);
      });
    if (!known) throw new Error(`Cannot understand "ip ${args.join(" ")}"`);
  }

  #write(path: string, text: string): void {
    const ipv6 = /^\/proc\/sys\/net\/ipv6\/conf\/(\S+)\/disable_ipv6$/.exec(path);
    if (ipv6 && text === "1") {
      const link = this.#get(ipv6[1]);
      link.addresses = link.addresses.filter((it) => !it.includes(":"));
      link.routes = link.routes.filter((it) => !it.includes(":"));
      for (const name of [...this.files.keys()]) {
        if (name.startsWith(`/proc/sys/net/ipv6/conf/${ipv6[1]}/`)) this.files.delete(name);
      }
    }
    const mode = /^\/sys\/class\/net\/(\S+)\/bonding\/mode$/.exec(path);
    if (mode) {
      if (this.portsOf(mode[1]).length > 0) throw new Error(`${mode[1]} has cards already`);
      this.#get(mode[1]).mode = text;
    }
    this.files.set(path, text);
  }

  #get(name: string): Link {
    const link = this.links.get(name);
    if (!link) throw new Error(`Cannot find the link "${name}"`);
    return link;
  }

  #add(name: string, kind: string): Link {
    if (this.links.has(name)) throw new Error(`${name} exists`);
    const link: Link = {
      ...{ kind: kind as Link["kind"], isUp: false, master: null, over: null, mac: null },
      ...{ mode: null, addresses: [], routes: [] },
    };
    this.links.set(name, link);
    return link;
  }

  #delete(name: string): void {
    this.#get(name);
    this.links.delete(name);
    for (const path of [...this.files.keys()]) {
      if (path.includes(`/${name}/`)) this.files.delete(path);
    }
    for (const [other, link] of [...this.links]) {
      if (link.over?.split(" ")[0] === name) this.#delete(other);
      if (link.master !== name) continue;
      link.master = null;
    }
  }
}
