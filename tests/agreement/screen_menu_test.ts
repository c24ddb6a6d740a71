/**
 * What the menu on the host's screen does, with a real supervisor and links that only pretend.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { eraseIfMarked } from "../../bootimg/boot/factory_reset.ts";
import { MenuActions } from "../../bootimg/boot/menu_actions.ts";
import { watchSupervisor } from "../../bootimg/boot/supervisor_watch.ts";
import { HostNetwork } from "../../bootimg/network/host_network.ts";
import { formOf, networkOf } from "../../bootimg/screen/network_form.ts";
import { FakeLinks } from "../../bootimg/testing/fake_links.ts";
import { ApiError } from "../../hypervisor/supervisor/api/client.ts";
import { type Health, Network } from "../../hypervisor/supervisor/api/schemas.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";

const CARD = { name: "eth0", mac: "52:54:00:00:00:01", hasCarrier: true };

Deno.test("an address is tried, refused to be kept before it is in force, and then kept", async () => {
  const links = new FakeLinks();
  links.setCards([CARD]);
  const kept: Network[] = [];
  const before = Network.parse({});
  const network = new HostNetwork({
    ...{ ground: links, network: before, keep: (it) => kept.push(it), onProblem: () => {} },
    graceMs: 20,
  });
  await network.settle();
  const actions = new MenuActions({
    ...{ network: () => network, socket: "/nowhere", data: () => null, end: () => {} },
    updates: () => null,
  });
  const form = { ...formOf(before), method: "static" as const, address: "192.0.2.7/24" };
  const found = networkOf(before, form);
  assert("network" in found);
  const wanted = found.network;
  const tried = { do: "tryNetwork", network: wanted } as const;
  assertEquals((await actions.act(tried)).kind, "trial");
  await assertRejects(() => actions.act({ do: "keepNetwork" }), Error, "not in force yet");
  await new Promise((resolve) => setTimeout(resolve, 60));
  await network.settle();
  assertEquals(links.links.get("br0")!.addresses, ["192.0.2.7/24"]);
  assertEquals(kept, []);
  assertEquals(await actions.act({ do: "keepNetwork" }), { kind: "host" });
  assertEquals(kept, [wanted]);
  await actions.act({ do: "tryNetwork", network: before });
  assertEquals(await actions.act({ do: "undoNetwork" }), { kind: "host" });
  assertEquals(network.tell().trial, null);
  network.close();
});

Deno.test("the password is forgotten, and a set-up code is there again", async () => {
  await using host = await TestHost.start();
  const code = Deno.readTextFileSync(host.path("run/setup_code")).trim();
  const body = { code, password: "correct horse battery" };
  await host.local.client.call("setup", { body });
  assertEquals((await host.local.client.call("getSession", {})).setupNeeded, false);
  const actions = new MenuActions({
    socket: host.path("run/supervisor.sock"),
    ...{ network: () => null, data: () => null, updates: () => null, end: () => {} },
  });
  assertEquals((await actions.act({ do: "resetPassword" })).kind, "notice");
  assertEquals((await host.local.client.call("getSession", {})).setupNeeded, true);
  const again = Deno.readTextFileSync(host.path("run/setup_code")).trim();
  assert(again !== "" && again !== code);
  await host.down();
  await assertRejects(() => actions.act({ do: "resetPassword" }));
});

Deno.test("everything is marked to be deleted before the host restarts", async () => {
  const data = await Deno.makeTempDir();
  Deno.writeTextFileSync(`${data}/denovisor.db`, "x");
  const ends: string[] = [];
  const actions = (place: string | null) =>
    new MenuActions({
      ...{ network: () => null, socket: "/nowhere", data: () => place, updates: () => null },
      end: (command) => ends.push(command),
    });
  await assertRejects(() => actions(null).act({ do: "erase" }), Error, "kept on a disk");
  assertEquals(ends, []);
  await actions(data).act({ do: "erase" });
  assertEquals(ends, ["reboot"]);
  assert(await eraseIfMarked(data));
  assertEquals([...Deno.readDirSync(data)], []);
  await Deno.remove(data);
});

Deno.test("the supervisor's answer to process 1 has its guests, and is for nobody else", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ name: "web" });
  await host.guest({ name: "able" });
  await host.start(id);
  const told = Promise.withResolvers<Health | null>();
  const stop = watchSupervisor({
    socket: host.path("run/supervisor.sock"),
    service: { startedAt: 0, kill: () => {} },
    onHealth: (health) => told.resolve(health),
  });
  const health = await told.promise;
  stop();
  assertEquals(health?.guests, { running: 1, stopped: 1 });
  assertEquals(health?.shown.map(({ name }) => name), ["web", "able"]);
  const afar = host.api("console").client.call("getHealth", {});
  const error = await assertRejects(() => afar, ApiError);
  assertEquals(error.problem.code, "local_only");
});
