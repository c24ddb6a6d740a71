/**
 * Where things lie: the checkout, its cache of what set-up made, and the folder for results.
 *
 * @module
 */
import { fromFileUrl } from "@std/path";

/** The root of the checkout, absolute and without a trailing slash. */
export const CHECKOUT = fromFileUrl(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** What set-up downloads and builds; may be deleted whole at any time that nothing runs. */
export const CACHE = `${CHECKOUT}/.cache`;

/** What the commands make for a person to look at: images, screenshots, measurements. */
export const OUT = `${CHECKOUT}/out`;

/** One line of progress for one real step of set-up, on stderr so that it mixes with no output. */
export function progress(step: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`setup: ${step}\n`));
}
