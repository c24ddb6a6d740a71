/**
 * Which of many like cases are tried where there is little time.
 *
 * @module
 */

/**
 * False in `deno task ok`, and where everything is run in the emulated PC, in which each guest takes ten times
 * as long: of cases that differ in one thing only, some stand for all there. The unit tests of
 * `./scripts/test` try each on a machine with KVM, `./scripts/test lab tests/hostile/FILE` on one without.
 */
export const IS_THOROUGH = Deno.env.get("LAB_BRIEFLY") === undefined;
