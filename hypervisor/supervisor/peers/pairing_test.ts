import { assertEquals, assertRejects } from "@std/assert";
import { ApiError } from "../api/client.ts";
import { TestHost } from "../testing/test_host.ts";

export const LISTEN = { hostname: "127.0.0.1", port: 0 };

Deno.test("two hosts pair by a code that is good once, and forget each other", async () => {
  await using a = await TestHost.start({ peers: LISTEN });
  await using b = await TestHost.start({ peers: LISTEN });
  const { code, addresses } = await b.local.client.call("offerPairing", {});
  const port = b.supervisor.peers.port!;
  assertEquals(addresses.every((it) => it.endsWith(`:${port}`)), true);
  const address = `127.0.0.1:${port}`;
  const wrong = await assertRejects(
    () => a.local.client.call("addPeer", { body: { address, code: "AAAAA-AAAAA-AAAAA-AAAAA" } }),
    ApiError,
  );
  assertEquals(wrong.problem.code, "wrong_code");
  const peer = await a.local.client.call("addPeer", { body: { address, code } });
  assertEquals(peer.address, address);
  assertEquals([peer.reachable, peer.problem], [true, null]);
  const [back] = await b.local.client.call("listPeers", {});
  assertEquals(back.address, `127.0.0.1:${a.supervisor.peers.port}`);
  const again = await assertRejects(
    () => a.local.client.call("addPeer", { body: { address, code } }),
    ApiError,
  );
  assertEquals(again.problem.code, "wrong_code", "the code is used up");
  await a.local.client.call("deletePeer", { params: { id: peer.id } });
  assertEquals(await a.local.client.call("listPeers", {}), []);
  assertEquals(await b.local.client.call("listPeers", {}), []);
});
