import { assertEquals, assertRejects } from "@std/assert";
import { Ledger } from "./ledger.ts";

Deno.test("a value may be the new one from when it was asked for, and must be once it was answered", async () => {
  let now = 0;
  const ledger = new Ledger(() => now);
  const at = async (begun: number, done: number, value: string | null) => {
    now = begun;
    await ledger.change({ it: value }, () => Promise.resolve(now = done));
  };
  await at(10, 20, "a");
  await at(30, 40, "b");
  await at(50, 60, null);
  const may = [5, 10, 20, 35, 40, 55, 60].map((time) => ledger.mayBe("it", time));
  assertEquals(may, [[null], [null, "a"], ["a"], ["a", "b"], ["b"], ["b", null], [null]]);
  assertEquals(Ledger.parse(ledger.format(), () => 0).mayBe("it", 55), ["b", null]);
  assertEquals(ledger.check(new Map([["it", "a"]]), 35), []);
  assertEquals(ledger.check(new Map([["it", "a"]]), 45), ["it is a, and must be b"]);
  assertEquals(ledger.check(new Map(), 45), ["it is not there, and must be b"]);
  assertEquals(ledger.check(new Map([["else", "x"]]), 5), ["else is x, and must be "]);
});

Deno.test("what failed may be there or not, until it is asked for again", async () => {
  let now = 10;
  const ledger = new Ledger(() => now);
  await assertRejects(() => ledger.change({ it: "a" }, () => Promise.reject(new Error("no"))));
  assertEquals(ledger.mayBe("it", 99), [null, "a"]);
  now = 100;
  await ledger.change({ it: "b" }, () => Promise.resolve(now = 110));
  assertEquals(ledger.mayBe("it", 200), ["b"]);
});
