/**
 * Which of many like cases are tried where there is little time.
 *
 * @module
 */

/**
 * False in a run of everything in the emulated PC, where each guest takes ten times as long: of cases that
 * differ in one thing only, some stand for all there. `./scripts/test lab tests/hostile/FILE` tries each.
 */
export const IS_THOROUGH = Deno.env.get("LAB_EVERYTHING") === undefined;
