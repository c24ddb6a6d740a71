import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { ApiClient, ApiError, parseEvent, pathOf, type StreamEvent } from "./client.ts";

/** A client whose every request gets `response`. */
function clientOf(response: () => Response) {
  const requests: { url: string; init: RequestInit }[] = [];
  const client = new ApiClient({
    fetch: (url, init) => {
      requests.push({ url: String(url), init: init! });
      return Promise.resolve(response());
    },
    origin: "https://host",
    headers: () => ({ "x-csrf-token": "t" }),
  });
  return { client, requests };
}

/** Text as a stream in pieces of `size` bytes. */
function inPieces(text: string, size: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(text);
  const count = Math.ceil(bytes.length / size);
  return ReadableStream.from(
    Array.from({ length: count }, (_, i) => bytes.slice(i * size, (i + 1) * size)),
  );
}

Deno.test("a call has its route's method and path, its body and the client's headers", async () => {
  const { client, requests } = clientOf(() => Response.json({ state: "running" }));
  const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  await client.call("stopGuest", { params: { id }, body: { force: true } });
  const [{ url, init }] = requests;
  assertEquals(url, `https://host/api/v1/guests/${id}/stop`);
  assertEquals([init.method, init.body], ["POST", '{"force":true}']);
  const headers = new Headers(init.headers);
  assertEquals(headers.get("content-type"), "application/json");
  assertEquals(headers.get("x-csrf-token"), "t");
});

Deno.test("a path's parameters are encoded", () => {
  assertEquals(
    pathOf("putImage", { kind: "disk", name: "a/b?c" }),
    "/api/v1/images/disk/a%2Fb%3Fc",
  );
});

Deno.test("a problem is an error with all that it says; anything else is one too", async () => {
  const problem = { code: "name_taken", message: "no", fields: [{ path: "name", message: "x" }] };
  const { client } = clientOf(() => Response.json(problem, { status: 409 }));
  const error = await assertRejects(() => client.call("listGuests", {}), ApiError, "no");
  assertEquals([error.status, error.problem], [409, problem]);
  await fc.assert(fc.asyncProperty(fc.oneof(fc.string(), fc.json()), async (text) => {
    const { client } = clientOf(() => new Response(text, { status: 502 }));
    const error = await assertRejects(() => client.call("listGuests", {}), ApiError);
    assert(error.problem.message.length >= 0 && error.status === 502);
  }));
});

Deno.test("events are the same however the stream is cut", async () => {
  const event = fc.record({ name: fc.constantFrom("guest", "host"), data: fc.jsonValue() });
  await fc.assert(
    fc.asyncProperty(fc.array(event), fc.integer({ min: 1, max: 50 }), async (events, size) => {
      const text = events.map(({ name, data }) =>
        `: keep-alive\n\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`
      ).join("") + "event: guest\ndata: half";
      const { client } = clientOf(() =>
        new Response(inPieces(text, size))
      );
      const seen: StreamEvent[] = [];
      for await (const event of client.events()) seen.push(event);
      assertEquals(JSON.stringify(seen), JSON.stringify(events));
    }),
  );
});

Deno.test("a comment is no event", () => {
  assertEquals(parseEvent(": keep-alive"), null);
  assertEquals(parseEvent(""), null);
});

Deno.test("who stops reading lets go of the stream", async () => {
  let isCancelled = false;
  const endless = () =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
      cancel: () => {
        isCancelled = true;
      },
    });
  const { client } = clientOf(() => new Response(endless()));
  for await (const event of client.events()) {
    assertEquals(event.data, 1);
    break;
  }
  assert(isCancelled);
});
