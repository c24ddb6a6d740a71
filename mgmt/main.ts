/**
 * Runs the console from its sources, after `deno run -A mgmt/build.ts`:
 *
 * ```sh
 * deno run -A mgmt/main.ts --api /run/denovisor/console/api.sock --tls-dir DIR --assets mgmt
 * ```
 *
 * @module
 */
import { join, resolve, toFileUrl } from "@std/path";
import { main } from "./gate/run.ts";
import { exitOnError, parseOptions } from "./gate/start.ts";

await exitOnError(async () => {
  const options = parseOptions(Deno.args);
  const entry = toFileUrl(join(resolve(options.assets), "_fresh", "server.js"));
  const { default: server } = await import(entry.href);
  await main(options, server.fetch);
});
