import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import * as esbuild from "esbuild";
import { Builder } from "../dev.ts";

const root = new URL("../testing/fixture/", import.meta.url).pathname;

async function build() {
  const outDir = await Deno.makeTempDir();
  const { app } = await import("../testing/fixture/main.ts");
  try {
    (await new Builder({ root, outDir }).build())(app);
  } finally {
    await esbuild.stop();
  }
  const handler = app.handler();
  const get = (path: string, init?: RequestInit) =>
    handler(new Request(`http://localhost${path}`, init));
  return { get, outDir, [Symbol.asyncDispose]: () => Deno.remove(outDir, { recursive: true }) };
}

Deno.test({
  name: "a built app serves its pages, islands and files",
  // esbuild's service process outlives a build by a moment.
  sanitizeResources: false,
  sanitizeOps: false,
  async fn(t) {
    await using site = await build();

    await t.step("a page with islands names their modules and the script", async () => {
      const response = await site.get("/");
      const html = await response.text();
      assertStringIncludes(html, "<!--fresh:island:0-->");
      assertStringIncludes(html, '<body f-client-nav="true">');
      const nonce = /'nonce-([^']+)'/.exec(response.headers.get("content-security-policy")!)![1];
      assertStringIncludes(html, `nonce="${nonce}"`);
      const script = /<script type="module" src="([^"]+)"/.exec(html)![1];
      assertMatch(script, /^\/_fresh\/js\/[0-9a-f]{16}\/fresh-runtime-[A-Z0-9]{8}\.js$/);
      const js = await site.get(script);
      assertEquals(js.headers.get("cache-control"), "public, max-age=31536000, immutable");
      assertEquals(js.headers.get("content-type"), "text/javascript; charset=utf-8");
      const text = await js.text();
      assert(!text.includes("fresh-build-id-placeholder"));
    });

    await t.step("middleware, layout, parameters and title apply to a nested route", async () => {
      const html = await (await site.get("/guests/42")).text();
      assertStringIncludes(html, '<section><p id="guest">42 by middleware</p></section>');
      assertStringIncludes(html, "<title>Guest 42</title>");
      assert(!html.includes("<title>Fixture</title>"));
    });

    await t.step("a folder in parentheses is no part of the address", async () => {
      assertStringIncludes(await (await site.get("/note")).text(), "<p>note</p>");
    });

    await t.step("errors and strays get their pages, with a policy", async () => {
      const missing = await site.get("/nope");
      assertEquals(missing.status, 404);
      assertStringIncludes(await missing.text(), "Nothing here");
      const failed = await site.get("/guests/0");
      assertEquals(failed.status, 410);
      assertStringIncludes(await failed.text(), "Sorry: no guest 0");
    });

    await t.step("a static file is kept by its hash and asked for again by its tag", async () => {
      const html = await (await site.get("/")).text();
      const href = /href="(\/site\.css[^"]+)"/.exec(html)![1];
      const css = await site.get(href);
      assertEquals(css.headers.get("cache-control"), "public, max-age=31536000, immutable");
      const etag = css.headers.get("etag")!;
      await css.body?.cancel();
      const again = await site.get("/site.css", { headers: { "if-none-match": `W/${etag}` } });
      assertEquals(again.status, 304);
      const stale = await site.get("/site.css?__frsh_c=old");
      assertEquals([stale.status, stale.headers.get("location")], [307, "/site.css"]);
      assertEquals((await site.get("/site.css", { method: "POST" })).status, 405);
      assertEquals((await site.get("/../main.ts")).status, 404);
      assertEquals((await site.get("/constructor")).status, 404);
    });

    await t.step("building the same sources again makes the same build", async () => {
      await using other = await build();
      const read = (dir: string) => Deno.readTextFile(`${dir}/snapshot.js`);
      const id = /buildId = "(\w+)"/;
      assertEquals(
        id.exec(await read(site.outDir))![1],
        id.exec(await read(other.outDir))![1],
      );
    });
  },
});
