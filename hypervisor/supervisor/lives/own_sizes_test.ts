import { assertEquals } from "@std/assert";
import type { GuestRecord } from "../store/guests.ts";
import { OwnSizes } from "./own_sizes.ts";

const of = (id: string) => ({ guest: "G", id });
/** What they have lies nowhere. */
const all = (...ids: string[]) => ids.map((id) => ({ ...of(id), record: {} as GuestRecord }));
const ALL = all("A", "B");

Deno.test("what is found in a moment is waited for", async () => {
  let bytes = 1;
  const sizes = new OwnSizes({ ownBytes: () => Promise.resolve(bytes++) }, { waitMs: 60_000 });
  assertEquals(sizes.of(of("A")), null);
  const late = () => {
    throw new Error("It was not late");
  };
  await sizes.look("G", ALL, late);
  assertEquals([sizes.of(of("A")), sizes.of(of("B")), sizes.of(of("C"))], [1, 2, null]);
  await sizes.look("G", ALL, late);
  assertEquals([sizes.of(of("A")), sizes.of(of("B"))], [3, 4]);
  sizes.forget(of("A"));
  assertEquals(sizes.of(of("A")), null);
});

Deno.test("what takes longer is told when it is found, to each who asked, from the time that they did", async () => {
  const asked: PromiseWithResolvers<number>[] = [];
  const sizes = new OwnSizes({
    ownBytes: () => {
      asked.push(Promise.withResolvers());
      return asked.at(-1)!.promise;
    },
  }, { waitMs: 5 });
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await sizes.look("G", ALL.slice(0, 1), first.resolve);
  await sizes.look("G", ALL.slice(0, 1), second.resolve);
  assertEquals([sizes.of(of("A")), asked.length], [null, 1]);
  asked[0].resolve(7);
  await first.promise;
  assertEquals(sizes.of(of("A")), 7);
  while (asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  asked[1].resolve(8);
  await second.promise;
  assertEquals(sizes.of(of("A")), 8);
});

Deno.test("however many ask while it takes long, one looks after who looks already, for all of them", async () => {
  const asked: PromiseWithResolvers<number>[] = [];
  const sizes = new OwnSizes({
    ownBytes: () => {
      asked.push(Promise.withResolvers());
      return asked.at(-1)!.promise;
    },
  }, { waitMs: 1 });
  let told = 0;
  const told20 = Promise.withResolvers<void>();
  const late = () => ++told === 20 ? told20.resolve() : undefined;
  for (let i = 0; i < 20; i++) await sizes.look("G", all(i === 19 ? "B" : "A"), late);
  assertEquals(asked.length, 1);
  asked[0].resolve(1);
  while (asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  asked[1].resolve(2);
  await told20.promise;
  assertEquals([asked.length, told], [2, 20]);
  assertEquals([sizes.of(of("A")), sizes.of(of("B"))], [null, 2], "as whoever asked last has them");
});

Deno.test("of a guest that is gone nothing is kept, nor comes to be while somebody looks", async () => {
  const asked = Promise.withResolvers<number>();
  const sizes = new OwnSizes({ ownBytes: () => asked.promise }, { waitMs: 1 });
  const late = Promise.withResolvers<void>();
  await sizes.look("G", all("A"), late.resolve);
  sizes.forgetGuest("G");
  asked.resolve(1);
  await late.promise;
  assertEquals(sizes.of(of("A")), null);
});
