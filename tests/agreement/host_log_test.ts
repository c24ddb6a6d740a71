/**
 * The host's log, asked of the API and kept by process 1.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { HostSocket } from "../../bootimg/host_socket.ts";
import { entryOfLine, makeEntry } from "../../bootimg/log/entry.ts";
import { LogBook } from "../../bootimg/log/log_book.ts";
import { logRoutes } from "../../bootimg/log/serve.ts";
import { ApiError } from "../../hypervisor/supervisor/api/client.ts";
import type { LogBatch, LogLevel } from "../../hypervisor/supervisor/api/schemas.ts";
import { run } from "../../hypervisor/supervisor/cli/main.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";

class Appliance implements AsyncDisposable {
  readonly book = new LogBook();
  readonly #folder: string;
  readonly #socket: HostSocket;
  readonly host: TestHost;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#socket = new HostSocket(`${folder}/host.sock`);
    this.#socket.add(logRoutes(this.book));
    this.host = new TestHost({ parent: folder, hostSocket: `${folder}/host.sock` });
  }

  static async start(): Promise<Appliance> {
    const appliance = new Appliance(await Deno.makeTempDir({ prefix: "dv-" }));
    await appliance.host.up();
    return appliance;
  }

  tell(message: string, level: LogLevel = "info", room = "boot"): void {
    this.book.add(makeEntry({ level, room, message }));
  }

  async cli(...args: string[]): Promise<{ code: number; text: string }> {
    let text = "";
    const code = await run(["--socket", this.host.path("run/supervisor.sock"), ...args], (part) => {
      text += part;
      return Promise.resolve();
    });
    return { code, text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
    await this.#socket.close();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

Deno.test("the log is read by the API, from a place on and by its level", async () => {
  await using appliance = await Appliance.start();
  appliance.tell("one");
  appliance.tell("two", "warning", "kernel");
  // As process 1 takes what the supervisor writes.
  appliance.book.add(entryOfLine(
    JSON.stringify({ level: "error", message: "three", guest: "web" }),
    { room: "supervisor", level: "warning" },
  ));
  const { client } = appliance.host.local;
  const { records, last } = await client.call("getLog", {});
  assertEquals(records.map(({ message }) => message), ["one", "two", "three"]);
  assertEquals([last, records[2].fields], [3, { guest: "web" }]);
  const of = async (query: Parameters<typeof client.call<"getLog">>[1]["query"]) =>
    (await client.call("getLog", { query })).records.map(({ message }) => message);
  assertEquals(await of({ level: "warning" }), ["two", "three"]);
  assertEquals(await of({ after: 1, limit: 1 }), ["two"]);
  assertEquals(await of({ room: "kernel" }), ["two"]);
  const error = await assertRejects(
    () => client.call("getLog", { query: { level: "loud" as LogLevel } }),
    ApiError,
  );
  assertEquals([error.status, error.problem.code], [400, "invalid_query"]);
  const unknown = await appliance.host.request("/api/v1/host/log?befor=1");
  assertStringIncludes((await unknown.json()).message, "it may be one of after, before");
});

Deno.test("who follows the log gets what comes, and ends with the session", async () => {
  await using appliance = await Appliance.start();
  appliance.tell("before");
  const { access } = appliance.host.supervisor;
  const { token } = await access.sessions.create();
  const headers = {
    cookie: `__Host-session=${token}`,
    origin: "https://h",
    "x-forwarded-host": "h",
  };
  const api = appliance.host.api("console", () => headers);
  const seen: string[] = [];
  const first = Promise.withResolvers<void>();
  const reading = (async () => {
    for await (const { name, data } of api.client.logEvents({ query: { after: 0 } })) {
      assertEquals(name, "log");
      seen.push(...(data as LogBatch).records.map(({ message }) => message));
      first.resolve();
    }
  })();
  await first.promise;
  appliance.tell("after");
  while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  await access.sessions.delete(token);
  await reading;
  assertEquals(seen, ["before", "after"]);
});

Deno.test("the log is read and followed from a shell", async () => {
  await using appliance = await Appliance.start();
  appliance.tell("one\x1b[2Jtwo", "warning", "kernel");
  const shown = await appliance.cli("host", "log", "--level", "warning");
  assertEquals(shown.code, 0);
  assert(!shown.text.includes("\x1b"));
  assertStringIncludes(shown.text, "warning kernel: one");
  let text = "";
  const following = run(
    ["--socket", appliance.host.path("run/supervisor.sock"), "--json", "host", "log", "-f"],
    (part) => {
      text += part;
      return Promise.resolve();
    },
  );
  while (!text.includes("kernel")) await new Promise((resolve) => setTimeout(resolve, 5));
  appliance.tell("later");
  while (!text.includes("later")) await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(text.trim().split("\n").map((it) => JSON.parse(it).seq), [1, 2]);
  await appliance.host.down();
  assertEquals(await following, 0);
  assertEquals((await appliance.cli("host", "log", "--level", "x")).code, 2);
});

Deno.test("a host that is no appliance has no log to show", async () => {
  await using host = await TestHost.start();
  for (const path of ["/host/log", "/host/log/events"]) {
    const response = await host.request(`/api/v1${path}`);
    assertEquals([response.status, (await response.json()).code], [409, "not_an_appliance"]);
  }
});
