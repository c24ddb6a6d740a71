import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { createGate, createRedirect } from "./gate.ts";
import { LIMITS } from "./limits.ts";
import { connectUpstream } from "./upstream.ts";

interface Bench extends AsyncDisposable {
  url: string;
  /** What the supervisor's side was sent last. */
  last(): { url: string; headers: Headers; body: string };
}

/** A gate on loopback, before a server that plays the supervisor. */
async function open(answer: (request: Request) => Response | Promise<Response>): Promise<Bench> {
  const dir = await Deno.makeTempDir();
  const path = join(dir, "api.sock");
  let last: { url: string; headers: Headers; body: string };
  const above = Deno.serve({ path, onListen() {} }, async (request) => {
    const headers = new Headers(request.headers);
    const body = request.headers.has("x-slow") || request.headers.has("upgrade")
      ? ""
      : await request.text();
    last = { url: request.url, headers, body };
    return await answer(request);
  });
  const upstream = connectUpstream(path);
  const gate = createGate({ upstream, pages: () => new Response("a page") });
  const below = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, gate);
  return {
    url: `http://127.0.0.1:${below.addr.port}`,
    last: () => last,
    async [Symbol.asyncDispose]() {
      await below.shutdown();
      upstream[Symbol.dispose]();
      await above.shutdown();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

Deno.test("what is the API's goes to the supervisor, and only the gate says where it came from", async () => {
  await using bench = await open(() =>
    Response.json({ ok: true }, { status: 201, headers: { "set-cookie": "a=b" } })
  );
  const response = await fetch(`${bench.url}/api/v1/guests?x=1`, {
    method: "POST",
    body: "{}",
    headers: { "x-forwarded-for": "6.6.6.6", "x-csrf-token": "t", "cookie": "c=d" },
  });
  assertEquals([response.status, await response.json()], [201, { ok: true }]);
  assertEquals(response.headers.get("set-cookie"), "a=b");
  const { url, headers, body } = bench.last();
  assertEquals(new URL(url).search, "?x=1");
  assertEquals(body, "{}");
  assertEquals(headers.get("x-forwarded-for"), "127.0.0.1");
  assertEquals(headers.get("x-forwarded-host"), new URL(bench.url).host);
  assertEquals([headers.get("x-csrf-token"), headers.get("cookie")], ["t", "c=d"]);
  assertEquals(await (await fetch(`${bench.url}/else`)).text(), "a page");
});

Deno.test("events come through one by one, and closing the page closes the stream", async () => {
  const closed = Promise.withResolvers<void>();
  let send: (text: string) => void = () => {};
  await using bench = await open(() => {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        send = (text) => controller.enqueue(new TextEncoder().encode(text));
        send("data: 1\n\n");
      },
      cancel: () => closed.resolve(),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  const response = await fetch(`${bench.url}/api/v1/events`, {
    headers: { "accept-encoding": "gzip" },
  });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, "data: 1\n\n");
  send("data: 2\n\n");
  assertEquals((await reader.read()).value, "data: 2\n\n");
  await reader.cancel();
  await closed.promise;
});

Deno.test("an upload is passed on as it comes", async () => {
  let received = 0;
  await using bench = await open(async (request) => {
    for await (const chunk of request.body ?? []) received += chunk.length;
    return new Response(null, { status: 201 });
  });
  const chunk = new Uint8Array(64 * 1024);
  let left = 64;
  const body = new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(chunk.slice());
      else controller.close();
    },
  });
  const response = await fetch(`${bench.url}/api/v1/images/disk/big`, {
    method: "PUT",
    body,
    headers: { "x-slow": "1" },
  });
  assertEquals([response.status, received], [201, 64 * 64 * 1024]);
});

Deno.test("an update of the host may be longer than other bodies, and only as an upload", async () => {
  await using bench = await open(() => new Response("taken"));
  const body = new Uint8Array(LIMITS.bodyBytes + 1);
  const url = `${bench.url}/api/v1/host/update`;
  const put = await fetch(`${url}?signature=eA`, { method: "PUT", body });
  assertEquals([put.status, await put.text()], [200, "taken"]);
  const { headers, body: received } = bench.last();
  assertEquals([headers.get("x-upload-length"), received.length], [`${body.length}`, body.length]);
  const post = await fetch(url, { method: "POST", body });
  assertEquals(post.status, 413);
  await post.body?.cancel();
});

Deno.test("what is too long or of a foreign page is refused before the supervisor sees it", async () => {
  let asked = 0;
  await using bench = await open(() => new Response(String(asked++)));
  const status = async (path: string, init: RequestInit) => {
    const response = await fetch(bench.url + path, init);
    await response.body?.cancel();
    return response.status;
  };
  const post = { method: "POST" };
  const long = "x".repeat(LIMITS.bodyBytes + 1);
  assertEquals(await status("/api/v1/x", { ...post, body: long }), 413);
  assertEquals(await status("/api/v1/x", { headers: { cookie: "y".repeat(17_000) } }), 431);
  assertEquals(await status("/api/v1/x", { ...post, headers: { origin: "https://evil" } }), 403);
  assertEquals(
    await status("/api/v1/x", { ...post, headers: { "sec-fetch-site": "same-site" } }),
    403,
  );
  assertEquals(asked, 0);
  const own = `https://${new URL(bench.url).host}`;
  assertEquals(await status("/api/v1/x", { ...post, headers: { origin: own } }), 200);
});

Deno.test("a body of unknown length is cut off at the limit", async () => {
  await using bench = await open(async (request) => {
    await request.text();
    return new Response("read");
  });
  const body = ReadableStream.from(
    Array.from({ length: LIMITS.bodyBytes / 4096 + 20 }, () => new Uint8Array(4096)),
  );
  const response = await fetch(`${bench.url}/api/v1/x`, {
    method: "POST",
    body,
    headers: { "x-slow": "1" },
  });
  assertEquals([response.status, (await response.json()).code], [413, "body_too_large"]);
});

Deno.test("a WebSocket is joined both ways, with what came early and the close code", async () => {
  await using bench = await open((request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(new Uint8Array([1, 2, 3]));
    socket.onmessage = ({ data }) => {
      socket.send(data);
      socket.close(4001, "signed out");
    };
    return response;
  });
  const origin = `https://${new URL(bench.url).host}`;
  const socket = new WebSocket(
    `${bench.url.replace("http", "ws")}/api/v1/guests/1/console`,
    { headers: { origin } } as unknown as string[],
  );
  socket.binaryType = "arraybuffer";
  const seen: number[][] = [];
  const end = Promise.withResolvers<CloseEvent>();
  socket.onmessage = ({ data }) => {
    seen.push([...new Uint8Array(data)]);
    if (seen.length === 1) socket.send(new Uint8Array([9]));
  };
  socket.onclose = end.resolve;
  const { code, reason } = await end.promise;
  assertEquals(seen, [[1, 2, 3], [9]]);
  assertEquals([code, reason], [4001, "signed out"]);
  assertEquals(bench.last().headers.get("origin"), origin);
});

Deno.test("a WebSocket that the supervisor refuses gets its answer", async () => {
  await using bench = await open(() =>
    Response.json({ code: "not_signed_in", message: "Sign in" }, { status: 401 })
  );
  const { host } = new URL(bench.url);
  using connection = await Deno.connect({ port: Number(host.split(":")[1]) });
  const upgrade = (origin: string) =>
    `GET /api/v1/guests/1/console HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\n` +
    `Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n` +
    `Origin: ${origin}\r\n\r\n`;
  const ask = async (origin: string) => {
    await connection.write(new TextEncoder().encode(upgrade(origin)));
    const buffer = new Uint8Array(4096);
    const count = await connection.read(buffer);
    return new TextDecoder().decode(buffer.subarray(0, count!));
  };
  assertStringIncludes(await ask(`https://${host}`), "HTTP/1.1 401");
  assertStringIncludes(await ask("https://evil.example"), "HTTP/1.1 403");
});

Deno.test("a supervisor that is not there is told as such", async () => {
  const upstream = connectUpstream("/nonexistent/api.sock");
  const gate = createGate({ upstream, pages: () => new Response() });
  const response = await gate(new Request("http://h/api/v1/session"), {
    remoteAddr: { transport: "tcp", hostname: "::1", port: 1 },
    completed: Promise.resolve(),
  });
  assertEquals([response.status, (await response.json()).code], [502, "supervisor_unreachable"]);
  assertEquals(response.headers.get("x-frame-options"), "DENY");
  upstream[Symbol.dispose]();
});

Deno.test("HTTP sends browsers on to HTTPS, but takes no form's content", () => {
  const redirect = createRedirect(() => 8443);
  const to = (url: string, method = "GET") => {
    const { status, headers } = redirect(new Request(url, { method }));
    return [status, headers.get("location")];
  };
  assertEquals(to("http://box/x?y=1"), [307, "https://box:8443/x?y=1"]);
  assertEquals(to("http://[::1]:80/"), [307, "https://[::1]:8443/"]);
  assertEquals(to("http://box/login", "POST"), [403, null]);
  assertEquals(
    createRedirect(() => 443)(new Request("http://box/")).headers.get("location"),
    "https://box/",
  );
});
