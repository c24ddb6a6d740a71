import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { API_BASE, type Route, ROUTES } from "../api/routes.ts";
import type { Problem, SessionInfo } from "../api/schemas.ts";
import { TestHost } from "../testing/test_host.ts";

const PASSWORD = "correct horse battery";
const HOST = "denovisor.local";
const ORIGIN = `https://${HOST}`;
const JSON_TYPE = { "content-type": "application/json" };

function fromConsole(
  host: TestHost,
  path: string,
  { method = "GET", body, headers = {} }: {
    method?: string;
    body?: unknown;
    headers?: Record<string, string>;
  } = {},
): Promise<Response> {
  return host.request(API_BASE + path, {
    door: "console",
    method,
    headers: {
      "x-forwarded-for": "10.0.0.1",
      "x-forwarded-host": HOST,
      ...(body !== undefined && JSON_TYPE),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
}

async function assertProblem(response: Response, status: number, code: string): Promise<Problem> {
  const problem = await response.json();
  assertEquals([response.status, problem.code], [status, code], JSON.stringify(problem));
  assertEquals(response.headers.get("content-type"), "application/json");
  return problem;
}

async function setUp(host: TestHost) {
  const code = Deno.readTextFileSync(host.path("run/setup_code")).trim();
  const response = await fromConsole(host, "/setup", {
    method: "POST",
    body: { code, password: PASSWORD },
    headers: { origin: ORIGIN, "sec-fetch-site": "same-origin" },
  });
  assertEquals(response.status, 200, await response.clone().text());
  await response.body?.cancel();
}

/** Signs in as a browser does and returns the headers that it sends from then on. */
async function signIn(host: TestHost): Promise<Record<string, string>> {
  const response = await fromConsole(host, "/session", {
    method: "POST",
    body: { password: PASSWORD },
    headers: { origin: ORIGIN },
  });
  const info: SessionInfo = await response.json();
  assertEquals(response.status, 200, JSON.stringify(info));
  const cookie = response.headers.get("set-cookie")!;
  assertStringIncludes(cookie, "HttpOnly; Secure; SameSite=Strict");
  return { cookie: cookie.split(";")[0], origin: ORIGIN, "x-csrf-token": info.csrfToken! };
}

Deno.test("from afar, nothing but set-up and signing in is open without a session", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  for (const [operation, route] of Object.entries(ROUTES) as [string, Route][]) {
    if (route.access === "anyone") continue;
    const path = route.path.replace(":id", id).replace(/:(disk|net)/, id).replace(":kind", "kernel")
      .replace(":name", "k");
    const response = await fromConsole(host, path, {
      method: route.method,
      headers: { origin: ORIGIN },
    });
    const { code } = await response.json();
    assertEquals(code, route.access === "local" ? "local_only" : "not_signed_in", operation);
  }
});

Deno.test("a new owner sets the password, signs in, works and signs out", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  let info = await (await fromConsole(host, "/session")).json();
  assertEquals(info, { setupNeeded: true, signedIn: false, csrfToken: null });
  await assertProblem(
    await fromConsole(host, "/session", { method: "POST", body: { password: PASSWORD } }),
    409,
    "setup_needed",
  );
  await setUp(host);
  const headers = await signIn(host);
  info = await (await fromConsole(host, "/session", { headers })).json();
  assertEquals(info, { setupNeeded: false, signedIn: true, csrfToken: headers["x-csrf-token"] });

  const started = await fromConsole(host, `/guests/${id}/start`, { method: "POST", headers });
  assertEquals((await started.json()).state, "running");

  const out = await fromConsole(host, "/session", { method: "DELETE", headers });
  assertStringIncludes(out.headers.get("set-cookie")!, "Max-Age=0");
  assertEquals(await out.json(), { setupNeeded: false, signedIn: false, csrfToken: null });
  await assertProblem(await fromConsole(host, "/guests", { headers }), 401, "not_signed_in");
});

Deno.test("a wrong code, a wrong password and a forged cookie are refused", async () => {
  await using host = await TestHost.start();
  await assertProblem(
    await fromConsole(host, "/setup", {
      method: "POST",
      body: { code: "AAAAA-AAAAA-AAAAA-AAAAA", password: PASSWORD },
    }),
    401,
    "wrong_code",
  );
  await setUp(host);
  await assertProblem(
    await fromConsole(host, "/session", { method: "POST", body: { password: "wrong password" } }),
    401,
    "wrong_password",
  );
  const { cookie } = await signIn(host);
  const forged = cookie.slice(0, -1) + (cookie.endsWith("A") ? "B" : "A");
  await assertProblem(
    await fromConsole(host, "/guests", { headers: { cookie: forged } }),
    401,
    "not_signed_in",
  );
  await assertProblem(
    await fromConsole(host, "/setup", {
      method: "POST",
      body: { code: "A", password: PASSWORD },
    }),
    409,
    "setup_done",
  );
});

Deno.test("too many wrong passwords are told when to try again", async () => {
  await using host = await TestHost.start();
  await setUp(host);
  const attempt = (password: string) =>
    fromConsole(host, "/session", { method: "POST", body: { password } });
  for (let i = 0; i < 4; i++) await assertProblem(await attempt("wrong"), 401, "wrong_password");
  const response = await attempt(PASSWORD);
  assert(Number(response.headers.get("retry-after")) >= 1);
  await assertProblem(response, 429, "too_many_attempts");
});

Deno.test("a change needs the session's own token", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await setUp(host);
  const mine = await signIn(host);
  const other = await signIn(host);
  const start = (headers: Record<string, string>) =>
    fromConsole(host, `/guests/${id}/start`, { method: "POST", headers });
  const { "x-csrf-token": _, ...without } = mine;
  await assertProblem(await start(without), 403, "csrf_failed");
  const theirs = { ...mine, "x-csrf-token": other["x-csrf-token"] };
  await assertProblem(await start(theirs), 403, "csrf_failed");
  assertEquals((await host.get(id)).state, "stopped");
});

Deno.test("a page of another site changes nothing, even with cookie and token", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await setUp(host);
  const headers = await signIn(host);
  const foreign: Record<string, string>[] = [
    { ...headers, origin: "https://evil.example" },
    { ...headers, origin: `http://${HOST}` },
    { ...headers, origin: `https://${HOST}:8443` },
    { ...headers, origin: "null" },
    { ...headers, "sec-fetch-site": "cross-site" },
    { ...headers, "sec-fetch-site": "same-site" },
  ];
  for (const headers of foreign) {
    const start = await fromConsole(host, `/guests/${id}/start`, { method: "POST", headers });
    await assertProblem(start, 403, "foreign_origin");
    const login = await fromConsole(host, "/session", {
      method: "POST",
      body: { password: PASSWORD },
      headers,
    });
    await assertProblem(login, 403, "foreign_origin");
    const socket = await fromConsole(host, `/guests/${id}/console`, {
      headers: { ...headers, upgrade: "websocket", connection: "upgrade" },
    });
    await assertProblem(socket, 403, "foreign_origin");
  }
  const { origin: _, ...without } = headers;
  const socket = await fromConsole(host, `/guests/${id}/console`, { headers: without });
  await assertProblem(socket, 403, "foreign_origin");
});

Deno.test("sessions outlive a restart of the supervisor", async () => {
  await using host = await TestHost.start();
  await setUp(host);
  const headers = await signIn(host);
  await host.down();
  await host.up();
  const info = await (await fromConsole(host, "/session", { headers })).json();
  assertEquals(info, { setupNeeded: false, signedIn: true, csrfToken: headers["x-csrf-token"] });
});

Deno.test("paths and methods that do not exist are told", async () => {
  await using host = await TestHost.start();
  await assertProblem(await host.request("/"), 404, "not_found");
  await assertProblem(await host.request("/api/v1/nothing"), 404, "not_found");
  await assertProblem(await host.request("/api/v1/guests/nonsense"), 404, "not_found");
  const unknown = "/api/v1/guests/01ARZ3NDEKTSV4RRFFQ69G5FAV";
  await assertProblem(await host.request(unknown), 404, "not_found");
  await assertProblem(
    await host.request("/api/v1/images/floppy/a", { method: "DELETE" }),
    400,
    "invalid_path",
  );
  const dots = "/api/v1/images/kernel/%2e%2e%2fdenovisor.db";
  await assertProblem(await host.request(dots, { method: "DELETE" }), 400, "invalid_path");
  const wrong = await host.request("/api/v1/guests", { method: "DELETE" });
  assertEquals(wrong.headers.get("allow"), "GET, HEAD, POST");
  await assertProblem(wrong, 405, "method_not_allowed");
  const head = await host.request("/api/v1/guests", { method: "HEAD" });
  assertEquals([head.status, await head.text()], [200, ""]);
});

Deno.test("a body is refused by its size, its type and its fields", async () => {
  await using host = await TestHost.start();
  const post = (body: BodyInit, type = "application/json") =>
    host.request("/api/v1/guests", { method: "POST", body, headers: { "content-type": type } });
  await assertProblem(await post("x".repeat(400_000)), 413, "body_too_large");
  // Of who has not signed in, less is read.
  const login = { method: "POST", body: "x".repeat(70_000), headers: JSON_TYPE };
  await assertProblem(await host.request("/api/v1/session", login), 413, "body_too_large");
  await assertProblem(await post("{}", "text/plain"), 415, "wrong_media_type");
  await assertProblem(await post("{"), 400, "invalid_body");
  const { fields } = await assertProblem(
    await post('{"name":"web","cpus":"1"}'),
    400,
    "invalid_body",
  );
  assertEquals(fields!.map(({ path }) => path).sort(), ["cpus", "kernel"]);
  assertEquals(host.names("data/guests"), []);
});

Deno.test("the document describes every route and refers to nothing that it lacks", async () => {
  await using host = await TestHost.start();
  const text = await (await host.request("/api/v1/openapi.json")).text();
  const document = JSON.parse(text);
  assertEquals(document.openapi, "3.1.0");
  for (const [operation, route] of Object.entries(ROUTES) as [string, Route][]) {
    const path = API_BASE + route.path.replace(/:(\w+)/g, "{$1}");
    const described = document.paths[path][route.method.toLowerCase()];
    assertEquals(described.operationId, operation);
    assertEquals(described.requestBody !== undefined, route.body !== undefined);
  }
  for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    assert(name in document.components.schemas, name);
  }
  assertEquals(document.components.schemas.GuestCreate.additionalProperties, false);
  assertEquals(document.components.schemas.GuestCreate.required, ["name", "kernel"]);
});

Deno.test("what fails inside is told without what it was", async () => {
  await using host = await TestHost.start();
  Deno.removeSync(host.path("data/images/disk"), { recursive: true });
  const problem = await assertProblem(await host.request("/api/v1/images"), 500, "internal");
  assert(!problem.message.includes(host.directory));
  assert(
    host.log.some(({ level, message }) => level === "error" && message === "a request failed"),
  );
});

Deno.test("nothing secret is logged", async () => {
  await using host = await TestHost.start();
  const code = Deno.readTextFileSync(host.path("run/setup_code")).trim();
  await setUp(host);
  const { cookie, "x-csrf-token": csrf } = await signIn(host);
  const log = JSON.stringify(host.log);
  for (const secret of [code, PASSWORD, cookie.split("=")[1], csrf]) {
    assert(!log.includes(secret));
  }
});
