import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { entriesOf, packMsrs, unpackMsrs } from "./msrs.ts";
import type { Msr } from "./vcpu.ts";

const msr = fc.tuple(fc.nat(3), fc.bigInt(0n, 2n ** 64n - 1n));

Deno.test("MSRs are the same again after they were packed, and are told apart by their numbers", () => {
  fc.assert(fc.property(fc.array(msr), (msrs: Msr[]) => {
    const packed = packMsrs(msrs);
    assertEquals(unpackMsrs(packed), msrs);
    for (const index of [0, 3, 9]) {
      assertEquals(unpackMsrs(entriesOf(packed, index)), msrs.filter(([it]) => it === index));
      const others = unpackMsrs(entriesOf(packed, index, { others: true }));
      assertEquals(others, msrs.filter(([it]) => it !== index));
    }
  }));
});
