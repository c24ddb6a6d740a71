/**
 * The host's network, asked of the API and run by process 1, with links that only pretend.
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { HostSocket } from "../../bootimg/host_socket.ts";
import { HostNetwork, type HostNetworkOptions } from "../../bootimg/network/host_network.ts";
import { networkRoutes } from "../../bootimg/network/serve.ts";
import { FakeLinks } from "../../bootimg/testing/fake_links.ts";
import { ApiError } from "../../hypervisor/supervisor/api/client.ts";
import { Network } from "../../hypervisor/supervisor/api/schemas.ts";
import { run } from "../../hypervisor/supervisor/cli/main.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";

class Appliance implements AsyncDisposable {
  readonly links = new FakeLinks();
  readonly kept: Network[] = [];
  readonly host: TestHost;
  readonly #folder: string;
  #network: HostNetwork;
  #socket: HostSocket;

  private constructor(folder: string, options: Partial<HostNetworkOptions>) {
    this.#folder = folder;
    this.host = new TestHost({ parent: folder, hostSocket: `${folder}/host.sock` });
    this.links.setCards([{ name: "eth0", mac: "52:54:00:00:00:01", hasCarrier: true }]);
    this.#network = new HostNetwork({
      ground: this.links,
      network: Network.parse({}),
      keep: (network) => this.kept.push(network),
      onProblem: () => {},
      graceMs: 0,
      ...options,
    });
    this.#socket = new HostSocket(`${folder}/host.sock`);
    this.#socket.add(networkRoutes(this.#network));
  }

  static async start(options: Partial<HostNetworkOptions> = {}): Promise<Appliance> {
    const appliance = new Appliance(await Deno.makeTempDir({ prefix: "dv-" }), options);
    await appliance.host.up();
    await appliance.#network.settle();
    return appliance;
  }

  get addresses(): string[] {
    return this.links.links.get("br0")!.addresses;
  }

  /** Once all that is to be done has been done. */
  async settled(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await this.#network.settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#network.close();
    await this.host[Symbol.asyncDispose]();
    await this.#socket.close();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

const FIXED = {
  bridges: [{
    name: "br0",
    ipv4: { method: "static" as const, address: "192.0.2.7/24", gateway: "192.0.2.1" },
  }],
};

Deno.test("a network is tried, confirmed and kept by the API", async () => {
  await using appliance = await Appliance.start();
  const { client } = appliance.host.local;
  const before = await client.call("getNetwork", {});
  assertEquals([before.network, before.trial], [Network.parse({}), null]);
  assertEquals(before.cards.map(({ name }) => name), ["eth0"]);
  const tried = await client.call("changeNetwork", { body: FIXED });
  assertEquals(tried.trial, { network: Network.parse(FIXED), secondsLeft: 60 });
  await appliance.settled();
  assertEquals([appliance.addresses, appliance.kept], [["192.0.2.7/24"], []]);
  const kept = await client.call("confirmNetwork", {});
  assertEquals([kept.trial, kept.network], [null, Network.parse(FIXED)]);
  assertEquals(appliance.kept, [Network.parse(FIXED)]);
  const refused = await assertRejects(() => client.call("undoNetwork", {}), ApiError);
  assertEquals(refused.problem.code, "network_refused");
});

Deno.test("a supervisor that ends keeps nothing, and undoes nothing before its time", async () => {
  await using appliance = await Appliance.start({ confirmMs: 1500 });
  await appliance.host.local.client.call("changeNetwork", { body: FIXED });
  await appliance.settled();
  await appliance.host.down();
  assertEquals(appliance.addresses, ["192.0.2.7/24"]);
  await new Promise((resolve) => setTimeout(resolve, 1600));
  await appliance.settled();
  assertEquals([appliance.addresses, appliance.kept], [[], []]);
  await appliance.host.up();
  const { trial, problem } = await appliance.host.local.client.call("getNetwork", {});
  assertEquals(trial, null);
  assertStringIncludes(problem!, "nobody confirmed it");
});

Deno.test("what cannot be is refused with its field, or by process 1 in words", async () => {
  await using appliance = await Appliance.start();
  const { client } = appliance.host.local;
  const wrong = { bridges: [{ name: "br0", ipv4: { method: "static" as const } }] };
  const field = await assertRejects(() => client.call("changeNetwork", { body: wrong }), ApiError);
  assertEquals(field.problem.fields, [{ path: "bridges.0.ipv4.address", message: "is missing" }]);
  const strange = { bridges: [{ name: "br0", uplink: "52:54:00:00:00:99" }] };
  const card = await assertRejects(() => client.call("changeNetwork", { body: strange }), ApiError);
  assertEquals(card.problem.code, "network_refused");
});

Deno.test("the network is changed and confirmed from a shell", async () => {
  await using appliance = await Appliance.start();
  const denovisor = async (...args: string[]) => {
    let out = "";
    const socket = appliance.host.path("run/supervisor.sock");
    const code = await run(["--socket", socket, ...args], (text) => {
      out += text;
      return Promise.resolve();
    });
    return { code, out };
  };
  assertStringIncludes((await denovisor("network")).out, "dhcp");
  const fixed = ["--ipv4", "192.0.2.7/24", "--gateway", "192.0.2.1", "--dns", "192.0.2.1"];
  const set = await denovisor("network", "set", "br0", ...fixed);
  assertEquals(set.code, 0);
  assertStringIncludes(set.out, "192.0.2.7/24 by 192.0.2.1");
  assertStringIncludes(set.out, "This is undone in 60 s");
  assertEquals((await denovisor("network", "confirm")).code, 0);
  assertEquals(appliance.kept, [Network.parse({ ...FIXED, dns: ["192.0.2.1"] })]);
  const vlan = ["--uplink", "any", "--vlan", "20", "--ipv4", "none", "--ipv6", "none"];
  assertEquals((await denovisor("network", "set", "br1", ...vlan)).code, 0);
  await appliance.settled();
  assertEquals(appliance.links.links.get("eth0.20")?.master, "br1");
  assertEquals((await denovisor("network", "set", "br0", "--ipv4", "dhcp")).code, 0);
  assertEquals((await denovisor("network", "rm", "br1")).code, 0);
  assertEquals((await denovisor("network", "undo")).code, 0);
  await appliance.settled();
  assertEquals(appliance.addresses, ["192.0.2.7/24"]);
  assertEquals((await denovisor("network", "rm", "br7")).code, 2);
  assertEquals((await denovisor("network", "set", "br0", "--ipv4", "here")).code, 1);
  assertEquals((await denovisor("network", "dance")).code, 2);
});

Deno.test("a network is confirmed only once it is in force, for which the command line waits", async () => {
  await using appliance = await Appliance.start({ graceMs: 300 });
  const { client } = appliance.host.local;
  await client.call("changeNetwork", { body: FIXED });
  const early = await assertRejects(() => client.call("confirmNetwork", {}), ApiError);
  assertEquals([early.problem.code, appliance.kept], ["network_refused", []]);
  assertStringIncludes(early.message, "it is not in force yet");
  const socket = appliance.host.path("run/supervisor.sock");
  const code = await run(["--socket", socket, "network", "confirm"], () => Promise.resolve());
  assertEquals([code, appliance.kept], [0, [Network.parse(FIXED)]]);
  assertEquals(appliance.addresses, ["192.0.2.7/24"]);
});

Deno.test("a host that is no appliance says so, and has the schema all the same", async () => {
  await using host = await TestHost.start();
  const refused = await assertRejects(() => host.local.client.call("getNetwork", {}), ApiError);
  assertEquals(refused.problem.code, "not_an_appliance");
  const schema = await host.local.client.call("getSettingsSchema", {});
  assertEquals(Object.keys(schema.properties as object).slice(0, 2), ["hostname", "network"]);
});
