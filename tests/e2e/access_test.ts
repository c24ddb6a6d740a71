/**
 * Who gets into the console, and who does not, in a real browser before a made-up host.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { browserTest, shared } from "./shared_site.ts";
import { PASSWORD } from "./site.ts";

browserTest("who signs out or is signed out ends at the login", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/login");
  await page.goto("/images");
  await page.waitForURL("**/login?next=%2Fimages");
  await page.getByLabel("Administrator's password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/images");
  await page.getByRole("link", { name: "Guests" }).click();
  await page.getByRole("heading", { level: 1, name: "Guests" }).waitFor();
  await visit.live();
  // This page asks for nothing by itself, so it learns of it when it next does.
  shared.site.api.signOutAll();
  await page.getByRole("link", { name: "Images", exact: true }).click();
  await page.waitForURL((url) => url.pathname === "/login");
});

browserTest("a forged cookie is no session", async () => {
  await using visit = await shared.site.visit();
  await visit.context.addCookies([{
    name: "__Host-session",
    value: "A".repeat(43),
    url: shared.site.console.url,
    secure: true,
    httpOnly: true,
  }]);
  await visit.page.goto("/");
  assertEquals(new URL(visit.page.url()).pathname, "/login");
  const status = await visit.page.evaluate(async () => (await fetch("/api/v1/guests")).status);
  assertEquals(status, 401);
  await visit.expectComplaint(/status of 401/);
});

browserTest("foreign origins are refused, and every answer is locked down", async () => {
  using client = Deno.createHttpClient({
    caCerts: [await Deno.readTextFile(`${shared.site.console.tlsDir}/cert.pem`)],
  });
  const send = (path: string, init: RequestInit = {}) =>
    fetch(shared.site.console.url + path, { redirect: "manual", ...init, client } as RequestInit);
  const post = async (headers: HeadersInit) => {
    const body = JSON.stringify({ password: PASSWORD });
    const response = await send("/api/v1/session", { method: "POST", body, headers });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await post({ origin: "https://evil.example" }), 403);
  assertEquals(await post({ "sec-fetch-site": "cross-site" }), 403);
  assertEquals(await post({ origin: shared.site.console.url }), 200);
  assertEquals(await post({}), 200);

  const socket = new WebSocket(
    `${shared.site.console.url.replace("https", "wss")}/api/v1/guests/${
      shared.site.guestNamed("web-1")
    }/console`,
    { client, headers: { origin: "https://evil.example" } } as never,
  );
  assertEquals(
    await new Promise((resolve) => {
      socket.onopen = () => resolve("open");
      socket.onerror = () => resolve("refused");
    }),
    "refused",
  );

  for (
    const path of ["/login", "/nowhere", "/console.css", "/api/v1/session", "/api/v1/guests"]
  ) {
    const response = await send(path);
    await response.body?.cancel();
    const policy = response.headers.get("content-security-policy") ?? "";
    assertStringIncludes(policy, "frame-ancestors 'none'", path);
    assert(!policy.includes("unsafe"), path);
    assertEquals(response.headers.get("x-content-type-options"), "nosniff", path);
    assertEquals(response.headers.get("referrer-policy"), "no-referrer", path);
    assertEquals(response.headers.get("strict-transport-security"), null, path);
  }
  const long = await send("/login", { headers: { cookie: "a=" + "b".repeat(20_000) } });
  assertEquals(long.status, 431);
  await long.body?.cancel();
  const large = await send("/api/v1/session", { method: "POST", body: "x".repeat(400_000) });
  assertEquals([large.status, (await large.json()).code], [413, "body_too_large"]);
});
