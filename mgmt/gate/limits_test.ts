import { assertEquals, assertRejects } from "@std/assert";
import { BodyError, limitBody, Quota } from "./limits.ts";

Deno.test("a body passes up to the limit and fails beyond it", async () => {
  const body = (bytes: number) => new Response(new Uint8Array(bytes)).body!;
  const options = { maxBytes: 100, stallMs: 10_000 };
  assertEquals((await new Response(limitBody(body(100), options)).bytes()).length, 100);
  const error = await assertRejects(
    () => new Response(limitBody(body(101), options)).bytes(),
    BodyError,
  );
  assertEquals(error.status, 413);
});

Deno.test("a body that stalls is given up", async () => {
  let cancelled = false;
  const silent = new ReadableStream<Uint8Array<ArrayBuffer>>({
    cancel: () => void (cancelled = true),
  });
  const error = await assertRejects(
    () => new Response(limitBody(silent, { maxBytes: 100, stallMs: 1 })).bytes(),
    BodyError,
  );
  assertEquals([error.status, cancelled], [408, true]);
});

Deno.test("places are counted in all and by address, and given back once", () => {
  const quota = new Quota({ total: 3, perAddress: 2 });
  const first = quota.take("a")!;
  quota.take("a")!;
  assertEquals(quota.take("a"), null);
  quota.take("b")!;
  assertEquals(quota.take("c"), null);
  first();
  first();
  assertEquals(typeof quota.take("a"), "function");
  assertEquals(quota.take("b"), null);
});
