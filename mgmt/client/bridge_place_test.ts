import { assertEquals } from "@std/assert";
import { bridgePlace } from "./bridge_place.ts";

Deno.test("a bridge has its own place, and one that is new or gone the last", () => {
  const bridges = [{ name: "br0" }, { name: "br1" }];
  const places = ["br0", "br1", undefined, "br2"].map((name) => bridgePlace(bridges, name));
  assertEquals(places, [0, 1, 2, 2]);
  assertEquals(bridges.toSpliced(bridgePlace(bridges, "br2"), 1, { name: "br2" }), [
    ...bridges,
    { name: "br2" },
  ]);
});
