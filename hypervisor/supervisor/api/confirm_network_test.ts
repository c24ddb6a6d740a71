import { assertEquals, assertRejects } from "@std/assert";
import { ApiError } from "./client.ts";
import { confirmNetwork } from "./confirm_network.ts";
import { type HostNetwork, Network } from "./network_schemas.ts";

/** A host that refuses so often, and then keeps the network or tells that it is tried no more. */
function hostThat(refuses: number, options: { code?: string; isUndone?: boolean } = {}) {
  const { code = "network_refused", isUndone = false } = options;
  const network = Network.parse({});
  const asked: string[] = [];
  const call = (operation: string): Promise<HostNetwork> => {
    asked.push(operation);
    const trial = isUndone || refuses < 0 ? null : { network, secondsLeft: 60 };
    const told = { network, trial, cards: [], problem: null };
    if (operation !== "confirmNetwork" || refuses-- <= 0) return Promise.resolve(told);
    return Promise.reject(new ApiError(422, { code, message: "Not yet" } as ApiError["problem"]));
  };
  return { asked, call };
}

Deno.test("a network that is not in force yet is confirmed once it is", async () => {
  const host = hostThat(2);
  await confirmNetwork(host.call, { pauseMs: 1 });
  const once = ["confirmNetwork", "getNetwork"];
  assertEquals(host.asked, [...once, ...once, "confirmNetwork"]);
});

Deno.test("what is tried no more, refused too long or a failure is told at once", async () => {
  const undone = hostThat(9, { isUndone: true });
  await assertRejects(() => confirmNetwork(undone.call), ApiError, "Not yet");
  assertEquals(undone.asked, ["confirmNetwork", "getNetwork"]);
  const slow = hostThat(1000);
  await assertRejects(() => confirmNetwork(slow.call, { waitMs: 20, pauseMs: 5 }), ApiError);
  const broken = hostThat(9, { code: "internal" });
  await assertRejects(() => confirmNetwork(broken.call), ApiError);
  assertEquals(broken.asked, ["confirmNetwork"]);
});
