/**
 * Feeds a part of Denovisor random input for as long as is asked for.
 *
 * ```
 * deno task fuzz [target] [--seconds N] [--seed S] [--path P]
 * ```
 *
 * Without a target, all have their turn. A failure prints the shrunk input with the seed and the path that
 * give it again.
 *
 * @module
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { TARGETS } from "./targets.ts";

function usage(why: string): never {
  console.error(
    `${why}\n\nUsage: deno task fuzz [${
      Object.keys(TARGETS).join(" | ")
    }] [--seconds N] [--seed S] [--path P]`,
  );
  Deno.exit(2);
}

function options() {
  try {
    return parseArgs({
      args: Deno.args,
      allowPositionals: true,
      options: {
        seconds: { type: "string", default: "10" },
        seed: { type: "string" },
        path: { type: "string" },
      },
    });
  } catch (error) {
    return usage((error as Error).message);
  }
}

function integer(name: string, text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isSafeInteger(value)) {
    usage(`Cannot parse --${name} "${text}": expected an integer`);
  }
  return value;
}

function main(): number {
  const { values, positionals } = options();
  const names = positionals.length > 0 ? positionals : Object.keys(TARGETS);
  for (const name of names) {
    if (!Object.hasOwn(TARGETS, name)) usage(`Cannot fuzz "${name}": there is no such target`);
  }
  const seconds = integer("seconds", values.seconds);
  if (seconds < 1) usage(`Cannot fuzz for ${seconds} seconds: expected 1 or more`);
  const seed = values.seed === undefined
    ? crypto.getRandomValues(new Int32Array(1))[0]
    : integer("seed", values.seed);
  let failed = 0;
  for (const name of names) {
    console.log(`${name}: ${seconds} s with --seed ${seed}`);
    const result = TARGETS[name]({
      seed,
      path: values.path,
      numRuns: 2 ** 31 - 1,
      interruptAfterTimeLimit: seconds * 1000,
    });
    console.log(`${name}: ${result.numRuns} inputs, ${result.failed ? "FAILED" : "all well"}`);
    if (result.failed) {
      failed++;
      console.error(fc.defaultReportMessage(result));
      console.error(
        `Again: deno task fuzz ${name} --seed ${seed} --path ${result.counterexamplePath}`,
      );
    }
  }
  return failed === 0 ? 0 : 1;
}

Deno.exit(main());
