import { assertEquals } from "@std/assert";
import { OwnSizes } from "./own_sizes.ts";

const ALL = ["A", "B"].map((id) => ({ guest: "G", id }));

Deno.test("what is found in a moment is waited for", async () => {
  let bytes = 1;
  const sizes = new OwnSizes({ ownBytes: () => Promise.resolve(bytes++) }, { waitMs: 60_000 });
  assertEquals(sizes.of("A"), null);
  const late = () => {
    throw new Error("It was not late");
  };
  await sizes.look("G", ALL, late);
  assertEquals([sizes.of("A"), sizes.of("B"), sizes.of("C")], [1, 2, null]);
  await sizes.look("G", ALL, late);
  assertEquals([sizes.of("A"), sizes.of("B")], [3, 4]);
  sizes.forget("A");
  assertEquals(sizes.of("A"), null);
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
  assertEquals([sizes.of("A"), asked.length], [null, 1]);
  asked[0].resolve(7);
  await first.promise;
  assertEquals(sizes.of("A"), 7);
  while (asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  asked[1].resolve(8);
  await second.promise;
  assertEquals(sizes.of("A"), 8);
});
