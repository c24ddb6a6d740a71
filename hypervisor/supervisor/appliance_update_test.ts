import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import * as fc from "fast-check";
import { ApiError } from "./api/client.ts";
import { type HostUpdateView, MOST_SYSTEM_BYTES } from "./api/schemas.ts";
import { run } from "./cli/main.ts";
import { FakeUpdates, FORGED, RUNS_IMAGE } from "./testing/fake_updates.ts";
import { TestHost } from "./testing/test_host.ts";

const URL_OF = "https://example.org/denovisor-1.3.0.efi";
const SIGNATURE = "untrusted comment: of a test\n–".padEnd(200, "x");

/** What the net has, by addresses. */
type Net = Record<string, () => Response>;

class Appliance implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "dv-" });
  readonly one = new FakeUpdates(`${this.folder}/host.sock`);
  readonly net: Net = {};
  readonly events: HostUpdateView[] = [];
  readonly host = new TestHost({
    ...{ parent: this.folder, hostSocket: `${this.folder}/host.sock` },
    update: {
      ...{ followMs: 5, lookMs: 10, stallMs: 300 },
      fetch: (input, init) => {
        init?.signal?.throwIfAborted();
        const page = this.net[String(input)];
        return Promise.resolve(page?.() ?? new Response(null, { status: 404 }));
      },
    },
  });

  static async start(): Promise<Appliance> {
    const appliance = new Appliance();
    await appliance.host.up();
    appliance.host.supervisor.events.subscribe((change) => {
      if (change.name === "update") appliance.events.push(change.data);
    });
    return appliance;
  }

  get client() {
    return this.host.local.client;
  }

  put(text: string, size = text.length) {
    return this.client.uploadUpdate(text, { signature: SIGNATURE, size });
  }

  /** Resolves with what is told once nothing is fetched any more. */
  async pulled(): Promise<HostUpdateView> {
    while (true) {
      const told = await this.client.call("getUpdate", {});
      if (told.pull?.isOver) return told;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async [Symbol.asyncDispose]() {
    await this.host[Symbol.asyncDispose]();
    await this.one[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function refused(promise: Promise<unknown>, code: string): Promise<string> {
  const error = await assertRejects(() => promise, ApiError);
  assertEquals(error.problem.code, code, error.message);
  return error.message;
}

const serve = (body: BodyInit, headers: Record<string, string> = {}) => () =>
  new Response(body, { headers });

Deno.test("an upload is passed on as it comes, and told until it is ready", async () => {
  await using appliance = await Appliance.start();
  const { one, client } = appliance;
  assertEquals(await client.call("getUpdate", {}), { ...RUNS_IMAGE, pull: null });
  one.onWriting = () => new Promise((resolve) => setTimeout(resolve, 100));
  const told = await appliance.put("a system");
  assertEquals(told.ready, { version: "1.3.0", system: "a" });
  assertEquals(one.taken, { text: "a system", signature: SIGNATURE });
  const phases = new Set(appliance.events.map(({ job }) => job?.phase));
  assert(phases.has("writing") && phases.has("ready"), [...phases].join());
  assertEquals((await client.call("takeUpdateBack", {})).ready, null);
  await refused(client.call("undoUpdate", {}), "update_refused");
});

Deno.test("what process 1 refuses is told in its words", async () => {
  await using appliance = await Appliance.start();
  const told = await refused(appliance.put(FORGED), "update_refused");
  assertEquals(told, "The signature does not fit");
  assertEquals((await appliance.client.call("getUpdate", {})).job?.error, told);
});

Deno.test("an upload that is not as long as it says, or too long for any system, is refused", async () => {
  await using appliance = await Appliance.start();
  const path = "/api/v1/host/update?signature=eA";
  const stream = () =>
    new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("x".repeat(100)));
        controller.close();
      },
    });
  for (const size of ["99", "101", String(MOST_SYSTEM_BYTES + 1)]) {
    const init = { method: "PUT", body: stream(), headers: { "x-upload-length": size } };
    const response = await appliance.host.request(path, init);
    const code = size.length > 3 ? "body_too_large" : "update_refused";
    assertEquals((await response.json()).code, code);
  }
  const response = await appliance.host.request(path, { method: "PUT", body: stream() });
  assertEquals([response.status, (await response.json()).code], [422, "update_refused"]);
  assertEquals(appliance.one.taken, null);
});

Deno.test("an upload that is given up leaves nothing ready", async () => {
  await using appliance = await Appliance.start();
  const { one, client } = appliance;
  const cancelled = Promise.withResolvers<void>();
  one.onWriting = async () => {
    await client.call("cancelUpdate", {});
    cancelled.resolve();
  };
  const told = await refused(appliance.put("a system"), "update_refused");
  await cancelled.promise;
  assertStringIncludes(told, "cancelled");
  assertEquals(one.told.ready, null);
  await refused(client.call("cancelUpdate", {}), "update_refused");
});

Deno.test("an update is fetched with its signature, also where its address leads on", async () => {
  await using appliance = await Appliance.start();
  const { one, client, net } = appliance;
  const moved = "https://cdn.example.org/x?key=1";
  net[`${URL_OF}?v=1`] = () => new Response(null, { status: 302, headers: { location: moved } });
  net[moved] = serve("a system", { "content-length": "8" });
  net[`${URL_OF}.sig?v=1`] = serve(SIGNATURE);
  await client.call("pullUpdate", { body: { url: `${URL_OF}?v=1` } });
  const told = await appliance.pulled();
  assertEquals([told.pull?.error, told.ready?.version], [null, "1.3.0"]);
  assertEquals(one.taken, { text: "a system", signature: SIGNATURE });
});

Deno.test("what cannot be fetched is told with why", async () => {
  await using appliance = await Appliance.start();
  const { client, net } = appliance;
  const length = { "content-length": "8" };
  const failed = async (why: string, file: Net[string] | null, signature: Net[string] | null) => {
    for (const key of Object.keys(net)) delete net[key];
    if (file !== null) net[URL_OF] = file;
    if (signature !== null) net[`${URL_OF}.sig`] = signature;
    await client.call("pullUpdate", { body: { url: URL_OF } });
    const { pull, ready } = await appliance.pulled();
    assertStringIncludes(pull!.error!, why);
    assertEquals(ready, null);
  };
  await failed("the server answered 404", serve("a system", length), null);
  await failed("the server answered 404", null, serve(SIGNATURE));
  await failed("at most", serve("a system", length), serve("x".repeat(100_000)));
  await failed("does not tell its size", serve("a system"), serve(SIGNATURE));
  const huge = { "content-length": String(MOST_SYSTEM_BYTES + 1) };
  await failed("a system at most", serve("a system", huge), serve(SIGNATURE));
  const away = () =>
    new Response(null, { status: 301, headers: { location: "http://example.org" } });
  await failed("not https", away, serve(SIGNATURE));
  const round = () => new Response(null, { status: 301, headers: { location: URL_OF } });
  await failed("leads on more than", round, serve(SIGNATURE));
  await failed("broke off", serve("short", length), serve(SIGNATURE));
  await failed("does not fit", serve("forged!!", length), serve(SIGNATURE));
  const url = "http://example.org/x.efi";
  await refused(client.call("pullUpdate", { body: { url } }), "invalid_body");
});

Deno.test("a fetch that hangs can be cancelled", async () => {
  await using appliance = await Appliance.start();
  const { client, net } = appliance;
  net[`${URL_OF}.sig`] = serve(SIGNATURE);
  net[URL_OF] = serve(new ReadableStream(), { "content-length": "8" });
  await client.call("pullUpdate", { body: { url: URL_OF } });
  while (appliance.one.told.job === null) await new Promise((resolve) => setTimeout(resolve, 5));
  await refused(client.call("pullUpdate", { body: { url: URL_OF } }), "update_refused");
  await client.call("cancelUpdate", {});
  assertStringIncludes((await appliance.pulled()).pull!.error!, "cancelled");
});

Deno.test("any answer of the net is refused or taken, and never ends the supervisor", async () => {
  await using appliance = await Appliance.start();
  const { client, net } = appliance;
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        status: fc.constantFrom(200, 206, 301, 307, 403, 500),
        location: fc.oneof(fc.webUrl(), fc.constantFrom("", "/", "https://", ":")),
        length: fc.constantFrom("", "0", "3", "-1", "1e3", "x"),
        body: fc.string({ maxLength: 10 }),
      }),
      async ({ status, location, length, body }) => {
        const headers = { location, ...(length !== "" && { "content-length": length }) };
        net[URL_OF] = () => new Response(body, { status, headers });
        net[`${URL_OF}.sig`] = serve(SIGNATURE);
        await client.call("pullUpdate", { body: { url: URL_OF } });
        const told = await appliance.pulled();
        assert(told.pull!.error !== null || told.ready !== null);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("a restart is asked of process 1, with what becomes of guests this once", async () => {
  await using appliance = await Appliance.start();
  const { one, client, host } = appliance;
  await client.call("restartHost", { body: { guests: "shutdown" } });
  assertEquals([one.restarts, host.supervisor.atShutdown.once], [1, "shutdown"]);
  await client.call("restartHost", {});
  assertEquals([one.restarts, host.supervisor.atShutdown.once], [2, null]);
});

Deno.test("a host that is no appliance has no updates", async () => {
  await using host = await TestHost.start();
  await refused(host.local.client.call("getUpdate", {}), "not_an_appliance");
  await refused(host.local.client.call("restartHost", {}), "not_an_appliance");
});

Deno.test("the host is updated from the command line, by a file and by an address", async () => {
  await using appliance = await Appliance.start();
  const { one, net, folder } = appliance;
  const said: string[] = [];
  const denovisor = async (...args: string[]) => {
    said.length = 0;
    const socket = appliance.host.path("run/supervisor.sock");
    const code = await run(["--socket", socket, ...args], (text) => {
      said.push(text);
      return Promise.resolve();
    });
    return [code, said.join("")] as const;
  };
  const file = `${folder}/denovisor-1.3.0.efi`;
  Deno.writeTextFileSync(file, "a system");
  assertEquals((await denovisor("host", "update", file))[0] === 0, false, "it has no signature");
  Deno.writeTextFileSync(`${file}.sig`, SIGNATURE);
  const [code, text] = await denovisor("host", "update", file);
  assertEquals(code, 0, text);
  assertStringIncludes(text, "tries 1.3.0 (a)");
  assertEquals(one.taken?.signature, SIGNATURE);
  await denovisor("host", "update", "cancel");
  assertEquals(one.told.ready, null);
  net[URL_OF] = serve("another", { "content-length": "7" });
  net[`${URL_OF}.sig`] = serve(SIGNATURE);
  assertEquals((await denovisor("host", "update", URL_OF))[0], 0);
  assertEquals(one.taken?.text, "another");
  one.told = {
    ...one.told,
    undo: { version: "1.1.0", system: "b" },
    last: {
      ...{ at: "2026-11-23T20:00:00Z", from: "1.2.0", to: "1.3.0", outcome: "fell back" },
      why: "the console did not answer in time",
    },
  };
  assertStringIncludes(
    (await denovisor("host", "update", "status"))[1],
    "1.3.0 fell back to 1.2.0: the console did not answer in time",
  );
  assertStringIncludes((await denovisor("host", "update", "undo"))[1], "tries 1.1.0 (b)");
  assertEquals((await denovisor("host", "restart", "--guests", "save"))[0], 0);
  assertEquals(one.restarts, 1);
});
