import { assertEquals, assertStringIncludes } from "@std/assert";
import { App, createDefine, csp, csrf, HttpError, page, type PageProps } from "../mod.ts";

const get = (app: App<unknown>, path: string, init?: RequestInit) =>
  app.handler()(new Request(`http://localhost${path}`, init));

Deno.test("a middleware serves only what is registered after it", async () => {
  const mark: Parameters<App<unknown>["use"]>[1] = async (ctx) => {
    const response = await ctx.next();
    response.headers.set("x-marked", "yes");
    return response;
  };
  const app = new App().get("/before", (ctx) => ctx.text("b")).use(mark)
    .get("/after", (ctx) => ctx.text("a"));
  assertEquals((await get(app, "/before")).headers.get("x-marked"), null);
  assertEquals((await get(app, "/after")).headers.get("x-marked"), "yes");
});

Deno.test("middlewares run from the root inwards and only at or below their path", async () => {
  const seen: string[] = [];
  const note = (name: string) => (ctx: { next(): Promise<Response> }) => {
    seen.push(name);
    return ctx.next();
  };
  const app = new App().use("/a/b", note("b")).use("/a", note("a"), note("a2")).use(note("root"))
    .get("/a/b/c", (ctx) => ctx.text("")).get("/ab", (ctx) => ctx.text(""));
  await get(app, "/a/b/c");
  assertEquals(seen, ["root", "a", "a2", "b"]);
  seen.length = 0;
  await get(app, "/ab");
  assertEquals(seen, ["root"]);
});

Deno.test("HEAD answers as GET without a body, OPTIONS lists methods, others are refused", async () => {
  const app = new App().get("/x", (ctx) => ctx.text("body")).post("/x", (ctx) => ctx.text("p"));
  const head = await get(app, "/x", { method: "HEAD" });
  assertEquals([head.status, await head.text()], [200, ""]);
  const options = await get(app, "/x", { method: "OPTIONS" });
  assertEquals([options.status, options.headers.get("allow")], [204, "GET, HEAD, POST"]);
  assertEquals((await get(app, "/x", { method: "PUT" })).status, 405);
  assertEquals((await get(app, "/y")).status, 404);
});

Deno.test("a fixed path goes before a pattern, and parameters are decoded", async () => {
  const app = new App().get("/g/:id", (ctx) => ctx.text(`id ${ctx.params.id}`))
    .get("/g/new", (ctx) => ctx.text("new"))
    .get("/files/:path*", (ctx) => ctx.text(ctx.params.path ?? "none"));
  assertEquals(await (await get(app, "/g/new")).text(), "new");
  assertEquals(await (await get(app, "/g/a%20b")).text(), "id a b");
  assertEquals(await (await get(app, "/files/a/b")).text(), "a/b");
});

Deno.test("the nearest error page answers, with the status of the error", async () => {
  const app = new App()
    .onError("*", (ctx) => ctx.text(`root ${(ctx.error as Error).message}`, { status: 418 }))
    .onError("/in", (ctx) => ctx.text(`in ${(ctx.error as Error).message}`, { status: 419 }))
    .get("/out", () => {
      throw new HttpError(400, "bad");
    })
    .get("/in/x", () => {
      throw new HttpError(400, "bad");
    });
  assertEquals(await (await get(app, "/out")).text(), "root bad");
  assertEquals(await (await get(app, "/in/x")).text(), "in bad");
});

Deno.test("what is not found gets the page for it, through the root's middlewares", async () => {
  const app = new App().use(csp()).notFound((ctx) => ctx.text("gone astray", { status: 404 }));
  const response = await get(app, "/nowhere");
  assertEquals([response.status, await response.text()], [404, "gone astray"]);
});

Deno.test("a page is put into layouts and wrapper; an async one may redirect", async () => {
  const define = createDefine<unknown>();
  const app = new App()
    .appWrapper(define.layout(({ Component }) => (
      <html>
        <body>
          <Component />
        </body>
      </html>
    )))
    .layout(
      "*",
      define.layout(({ Component }) => (
        <main>
          <Component />
        </main>
      )),
    )
    .route("/page", {
      handler: { GET: () => page({ n: 7 }, { status: 201, headers: { "x-n": "7" } }) },
      component: ({ data }: PageProps<{ n: number }>) => <p>{data.n}</p>,
    })
    .route("/away", {
      // deno-lint-ignore require-await
      component: async () => new Response(null, { status: 303, headers: { location: "/" } }),
    })
    .route("/bare", { component: () => <p>bare</p> }, { skipInheritedLayouts: true });
  const response = await get(app, "/page");
  assertEquals([response.status, response.headers.get("x-n")], [201, "7"]);
  assertEquals(
    await response.text(),
    "<!DOCTYPE html><html><body><main><p>7</p></main></body></html>",
  );
  assertEquals((await get(app, "/away")).status, 303);
  assertEquals(
    await (await get(app, "/bare")).text(),
    "<!DOCTYPE html><html><body><p>bare</p></body></html>",
  );
});

Deno.test("a redirect cannot lead to another host by doubled slashes", async () => {
  const app = new App().get("/go", (ctx) => ctx.redirect("//evil.example/x"));
  assertEquals((await get(app, "/go")).headers.get("location"), "/evil.example/x");
});

Deno.test("csrf refuses changes from foreign pages and lets others through", async () => {
  const app = new App().use(csrf()).post("/x", (ctx) => ctx.text("done"));
  const post = async (headers: HeadersInit) =>
    (await get(app, "/x", { method: "POST", headers })).status;
  assertEquals(await post({}), 200);
  assertEquals(await post({ origin: "http://localhost" }), 200);
  assertEquals(await post({ origin: "http://evil.example" }), 403);
  assertEquals(await post({ "sec-fetch-site": "cross-site" }), 403);
  assertEquals(await post({ "sec-fetch-site": "same-site", origin: "http://a.localhost" }), 403);
});

Deno.test("csp allows inline scripts by the page's nonce alone", async () => {
  const app = new App().use(csp({ useNonce: true, csp: ["img-src 'self' blob:"] }))
    .get("/text", (ctx) => ctx.text("t"))
    .route("/", {
      component: () => (
        <html>
          <head>
            <script dangerouslySetInnerHTML={{ __html: "1" }} />
          </head>
          <body />
        </html>
      ),
    });
  const response = await get(app, "/");
  const policy = response.headers.get("content-security-policy")!;
  const nonce = /'nonce-([^']+)'/.exec(policy)![1];
  assertStringIncludes(await response.text(), `nonce="${nonce}"`);
  assertStringIncludes(policy, "; img-src 'self' blob:");
  assertEquals(policy.includes("unsafe-inline"), false);
  const other = (await get(app, "/text")).headers.get("content-security-policy")!;
  assertStringIncludes(other, "script-src 'self';");
  const again = (await get(app, "/")).headers.get("content-security-policy")!;
  assertEquals(again.includes(nonce), false);
});
