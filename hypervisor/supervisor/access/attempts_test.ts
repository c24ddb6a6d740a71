import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ApiProblem } from "../problem.ts";
import { addressBucket, Attempts, MAX_ADDRESSES } from "./attempts.ts";

class Clock {
  now = 1_000_000;
  read = () => this.now;
}

function waits(attempts: Attempts, address: string): number {
  const error = assertThrows(() => attempts.take(address), ApiProblem);
  assertEquals(error.status, 429);
  return Number(error.headers["retry-after"]);
}

Deno.test("the first failures cost nothing, later ones longer and longer", () => {
  const clock = new Clock();
  const attempts = new Attempts(clock.read);
  for (let i = 0; i < 4; i++) attempts.take("10.0.0.1");
  const delays: number[] = [];
  for (let i = 0; i < 10; i++) {
    delays.push(waits(attempts, "10.0.0.1"));
    clock.now += delays.at(-1)! * 1000;
    attempts.take("10.0.0.1");
  }
  assertEquals(delays, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
});

Deno.test("a refused attempt does not make the wait longer", () => {
  const clock = new Clock();
  const attempts = new Attempts(clock.read);
  for (let i = 0; i < 4; i++) attempts.take("10.0.0.1");
  for (let i = 0; i < 100; i++) assertEquals(waits(attempts, "10.0.0.1"), 2);
});

Deno.test("one address does not keep another out", () => {
  const attempts = new Attempts(() => 0);
  for (let i = 0; i < 4; i++) attempts.take("10.0.0.1");
  waits(attempts, "10.0.0.1");
  attempts.take("10.0.0.2");
});

Deno.test("a right attempt forgets the address's failures", () => {
  const attempts = new Attempts(() => 0);
  for (let i = 0; i < 4; i++) attempts.take("10.0.0.1");
  attempts.succeed("10.0.0.1");
  for (let i = 0; i < 4; i++) attempts.take("10.0.0.1");
});

Deno.test("failures are forgotten in time", () => {
  const clock = new Clock();
  const attempts = new Attempts(clock.read);
  for (let i = 0; i < 4; i++) attempts.take("10.0.0.1");
  clock.now += 3600_000;
  for (let i = 0; i < 4; i++) attempts.take("10.0.0.1");
});

Deno.test("many addresses together are slowed down, but by seconds only, and in bounded memory", () => {
  const clock = new Clock();
  const attempts = new Attempts(clock.read);
  let longest = 0;
  for (let i = 0; i < 3 * MAX_ADDRESSES; i++) {
    const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    try {
      attempts.take(address);
    } catch (error) {
      assert(error instanceof ApiProblem);
      const wait = Number(error.headers["retry-after"]);
      longest = Math.max(longest, wait);
      clock.now += wait * 1000;
      attempts.take(address);
    }
  }
  assertEquals(longest, 10);
  assertEquals(attempts.size, MAX_ADDRESSES);
});

Deno.test("any address has a bucket, and an IPv6 network shares one", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    assert(addressBucket(text).length <= 50);
  }));
  fc.assert(fc.property(fc.ipV4(), (address) => assertEquals(addressBucket(address), address)));
  assertEquals(addressBucket("2001:db8:1:2:a:b:c:d"), addressBucket("2001:db8:1:2::1"));
  assert(addressBucket("2001:db8:1:2::1") !== addressBucket("2001:db8:1:3::1"));
  assertEquals(addressBucket("::ffff:10.0.0.1"), "10.0.0.1");
});
