import { assert, assertEquals, assertRejects } from "@std/assert";
import { ApiError, type StreamEvent } from "../api/client.ts";
import type { Guest } from "../api/schemas.ts";
import type { UnixApi } from "../api/unix.ts";
import { TestHost } from "../testing/test_host.ts";

/** What a WebSocket brings, as text, until it ends with `end` or closes. */
function readUntil(socket: WebSocket, end: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  socket.addEventListener("message", ({ data }) => {
    assert(data instanceof ArrayBuffer);
    text += new TextDecoder().decode(data);
    if (text.endsWith(end)) resolve(text);
  });
  socket.addEventListener("close", () => resolve(text));
  return promise;
}

function closed(socket: WebSocket): Promise<CloseEvent> {
  return new Promise((resolve) => socket.addEventListener("close", resolve, { once: true }));
}

async function close(socket: WebSocket) {
  const end = closed(socket);
  socket.close();
  await end;
}

function send(socket: WebSocket, text: string) {
  const bytes = new TextEncoder().encode(text);
  if (socket.readyState === WebSocket.OPEN) socket.send(bytes);
  else socket.addEventListener("open", () => socket.send(bytes));
}

Deno.test("the events begin with a snapshot, and every change follows in order", async () => {
  await using host = await TestHost.start();
  const old = await host.guest({ name: "old" });
  const seen: StreamEvent[] = [];
  const end = new AbortController();
  const snapshot = Promise.withResolvers<void>();
  const reading = (async () => {
    for await (const event of host.local.client.events({ signal: end.signal })) {
      seen.push(event);
      snapshot.resolve();
      if (event.name === "guest_deleted") return;
    }
  })();
  await snapshot.promise;
  const { id } = await host.guest({ name: "web" });
  await host.start(id);
  const stopped = host.reaches(id, "stopped");
  await host.local.client.call("stopGuest", { params: { id } });
  await stopped;
  await host.local.client.call("deleteGuest", { params: { id } });
  await reading;
  end.abort();

  const first = seen[0].data as { host: { cpus: number }; guests: Guest[] };
  assertEquals(seen[0].name, "snapshot");
  assertEquals(first.guests, [old]);
  assert(first.host.cpus >= 1);
  const states = seen.slice(1).filter(({ name }) => name === "guest")
    .map(({ data }) => (data as Guest).state);
  assertEquals(states, ["stopped", "starting", "running", "stopping", "stopped"]);
  assertEquals(seen.at(-1), { name: "guest_deleted", data: { id } });
});

Deno.test("a listener that goes away is forgotten", async () => {
  await using host = await TestHost.start();
  const before = host.supervisor.events.listeners;
  const end = new AbortController();
  for await (const _ of host.local.client.events({ signal: end.signal })) {
    assertEquals(host.supervisor.events.listeners, before + 1);
    break;
  }
  end.abort();
  while (host.supervisor.events.listeners > before) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

Deno.test("signing out ends the session's events and consoles", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const { access } = host.supervisor;
  const { token } = await access.sessions.create();
  const headers = {
    cookie: `__Host-session=${token}`,
    origin: "https://h",
    "x-forwarded-host": "h",
  };
  const api: UnixApi = host.api("console", () => headers);
  const socket = api.connect("guestConsole", { id });
  await readUntil(socket, "console of web\r\n");
  const end = closed(socket);
  const names: string[] = [];
  for await (const { name } of api.client.events()) {
    names.push(name);
    if (names.length === 1) await access.sessions.delete(token);
  }
  assertEquals(names, ["snapshot"]);
  assertEquals((await end).code, 4001);
  assertEquals((await host.get(id)).state, "running");
});

Deno.test("a console shows what was before, takes what is typed, and ends with the guest", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const first = host.local.connect("guestConsole", { id });
  assertEquals(await readUntil(first, "web\r\n"), "console of web\r\n");
  const echo = readUntil(first, "hello");
  send(first, "hello");
  assertEquals(await echo, "hello");
  await close(first);

  const second = host.local.connect("guestConsole", { id });
  assertEquals(await readUntil(second, "hello"), "console of web\r\nhello");
  const end = closed(second);
  const stopped = host.reaches(id, "stopped");
  send(second, "poweroff\n");
  assertEquals((await end).code, 4000);
  await stopped;
  host.assertNothingLeft();
});

Deno.test("a console that is opened while the guest starts shows all of it", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest({ cmdline: "slow" });
  const starting = host.reaches(id, "starting");
  const started = host.start(id);
  await starting;
  const socket = host.local.connect("guestConsole", { id });
  assertEquals(await readUntil(socket, "web\r\n"), "console of web\r\n");
  await started;
  await close(socket);
});

Deno.test("two consoles of a guest show the same", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const a = host.local.connect("guestConsole", { id });
  const b = host.local.connect("guestConsole", { id });
  await Promise.all([readUntil(a, "web\r\n"), readUntil(b, "web\r\n")]);
  const both = Promise.all([readUntil(a, "hi"), readUntil(b, "hi")]);
  send(a, "hi");
  assertEquals(await both, ["hi", "hi"]);
  await Promise.all([close(a), close(b)]);
});

Deno.test("a large paste arrives whole and in order", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const socket = host.local.connect("guestConsole", { id });
  await readUntil(socket, "web\r\n");
  const text = Array.from({ length: 20_000 }, (_, i) => `${i} `).join("") + "end";
  const echo = readUntil(socket, "end");
  send(socket, text);
  assertEquals(await echo, text);
  await close(socket);
});

Deno.test("a guest that is stopped has no console, and a console is a WebSocket", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  const path = `/api/v1/guests/${id}/console`;
  const plain = await host.request(path);
  assertEquals([plain.status, (await plain.json()).code], [426, "not_a_websocket"]);
  const socket = host.local.connect("guestConsole", { id });
  await closed(socket);
  await host.start(id);
  const again = host.local.connect("guestConsole", { id });
  await readUntil(again, "web\r\n");
  await close(again);
});

Deno.test("an upload of unknown length is kept, and told in the list", async () => {
  await using host = await TestHost.start();
  const chunks = [new Uint8Array(1000).fill(1), new Uint8Array(24).fill(2)];
  const stream = ReadableStream.from(chunks);
  const image = await host.local.client.upload({ kind: "initrd", name: "i.img" }, stream);
  assertEquals([image.kind, image.name, image.sizeBytes], ["initrd", "i.img", 1024]);
  assertEquals(Deno.readFileSync(host.path("data/images/initrd/i.img"))[1000], 2);
  assertEquals(await host.local.client.call("listImages", {}), [image]);
});

Deno.test("an upload that is broken off leaves nothing", async () => {
  await using host = await TestHost.start();
  const end = new AbortController();
  const begun = Promise.withResolvers<void>();
  const stream = new ReadableStream({
    async pull(controller) {
      controller.enqueue(new Uint8Array(64 * 1024));
      if (host.names("data/images/disk").length > 0) begun.resolve();
      await new Promise((resolve) => setTimeout(resolve, 5));
    },
  });
  const upload = host.local.client.upload({ kind: "disk", name: "d" }, stream, {
    signal: end.signal,
  });
  await begun.promise;
  end.abort();
  await assertRejects(() => upload);
  while (host.names("data/images/disk").length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

Deno.test("images that are empty, short, there already or qcow2 are refused, and leave nothing", async () => {
  await using host = await TestHost.start();
  const { client } = host.local;
  const upload = async (bytes: Uint8Array<ArrayBuffer>, size?: number) => {
    const image = { kind: "disk", name: "d" } as const;
    const error = await assertRejects(() => client.upload(image, bytes, { size }), ApiError);
    return error.problem.code;
  };
  assertEquals(await upload(new Uint8Array()), "bad_image");
  const qcow2 = new Uint8Array(1024);
  qcow2.set([0x51, 0x46, 0x49, 0xfb]);
  assertEquals(await upload(qcow2), "bad_image");
  const short = await client.upload(
    { kind: "disk", name: "d" },
    ReadableStream.from([new Uint8Array(10)]),
    {
      size: 11,
    },
  ).catch((error) => error.problem.code);
  assertEquals(short, "bad_image");
  assertEquals(host.names("data/images/disk"), []);
  await host.image("disk", "d");
  assertEquals(await upload(new Uint8Array(512)), "image_exists");
  assertEquals(host.names("data/images/disk"), ["d"]);
});

Deno.test("an image that a guest starts from stays, others go", async () => {
  await using host = await TestHost.start();
  await host.guest({ name: "web" });
  await host.image("kernel", "other");
  const { client } = host.local;
  const remove = (name: string) => client.call("deleteImage", { params: { kind: "kernel", name } });
  const error = await assertRejects(() => remove("k"), ApiError);
  assertEquals(error.message, 'Cannot delete the kernel image "k": it is used by web');
  await remove("other");
  assertEquals((await assertRejects(() => remove("other"), ApiError)).status, 404);
  assertEquals((await client.call("listImages", {})).map(({ name, usedBy }) => [name, usedBy]), [[
    "k",
    ["web"],
  ]]);
});
