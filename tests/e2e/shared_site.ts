/**
 * The one console that the tests of a file share, before a made-up host.
 *
 * @module
 */
import { withPlainErrors } from "./browser.ts";
import { Bench, Site } from "./site.ts";

/** What most tests of a file share; they leave its guests as they found them. */
export const shared = {} as { bench: Bench; site: Site };

Deno.test.beforeAll(async () => {
  shared.bench = await Bench.open();
  shared.site = await Site.open(shared.bench);
});

Deno.test.afterAll(async () => {
  await shared.site[Symbol.asyncDispose]();
  await shared.bench[Symbol.asyncDispose]();
});

/** Processes and sockets outlive a test, since tests share them. */
export function browserTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn: () => withPlainErrors(fn), sanitizeOps: false, sanitizeResources: false });
}
