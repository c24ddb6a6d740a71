/**
 * Builds the console and serves it before a made-up host, to work on its pages:
 *
 * ```sh
 * deno run -A mgmt/dev.ts   # https://localhost:8443, password "correct horse"
 * ```
 *
 * @module
 */
import { join } from "@std/path";
import * as esbuild from "esbuild";
import { buildConsole } from "./build.ts";
import { main } from "./gate/run.ts";
import { FakeApi } from "./testing/fake_api.ts";

await buildConsole();
await esbuild.stop();
const dir = await Deno.makeTempDir();
const path = join(dir, "api.sock");
new FakeApi({ path, password: "correct horse", taskMs: 20_000 });
const entry = new URL("./_fresh/server.js", import.meta.url);
const { default: server } = await import(entry.href);
await main({
  api: path,
  tlsDir: join(dir, "tls"),
  assets: import.meta.dirname!,
  port: 8443,
  httpPort: 0,
  hostname: "127.0.0.1",
}, server.fetch);
