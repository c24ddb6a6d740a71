/**
 * Feeds parts of Denovisor random input for as long as is asked for.
 *
 * ```
 * deno task fuzz [target...] [--seconds N] [--seed S] [--path P] [--jobs N]
 * ```
 *
 * Without a target, all have their turn. A failure prints the smallest input that was found for it, and the
 * command that gives it again.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { fuzz } from "./supervised.ts";
import { missing, TARGETS } from "./targets.ts";

const USAGE = `Usage: deno task fuzz [TARGET...] [--seconds N] [--seed S] [--path P] [--jobs N]

Each target runs for N seconds (10), at most as many at a time as there are jobs (1). Targets:
  ${Object.keys(TARGETS).join(" ")}`;

function usage(why: string): never {
  console.error(`${why}\n\n${USAGE}`);
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
        jobs: { type: "string", default: "1" },
        help: { type: "boolean" },
      },
    });
  } catch (error) {
    return usage((error as Error).message);
  }
}

function integer(name: string, text: string, min = -Infinity): number {
  const value = Number(text);
  if (text === "" || !Number.isSafeInteger(value) || value < min) {
    usage(
      `Cannot use --${name} "${text}": expected a whole number${min > 0 ? ` from ${min}` : ""}`,
    );
  }
  return value;
}

async function main(): Promise<number> {
  const { values, positionals } = options();
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const names = positionals.length > 0 ? positionals : Object.keys(TARGETS);
  for (const name of names) {
    if (!Object.hasOwn(TARGETS, name)) usage(`Cannot fuzz "${name}": there is no such target`);
  }
  const seconds = integer("seconds", values.seconds, 1);
  const jobs = integer("jobs", values.jobs, 1);
  const seed = values.seed === undefined
    ? crypto.getRandomValues(new Int32Array(1))[0]
    : integer("seed", values.seed);
  console.log(`${names.length} targets, ${seconds} s each, --seed ${seed}`);
  const failed: string[] = [];
  for (const name of names) {
    const why = missing(name);
    if (why !== undefined) console.log(`${name}: skipped, as ${why}`);
  }
  const left = names.filter((name) => missing(name) === undefined);
  const work = async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      if (!await fuzz({ name, seed, path: values.path, seconds })) failed.push(name);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  console.log(
    failed.length === 0
      ? `${names.length} targets: all well`
      : `${failed.length} of ${names.length} targets failed: ${failed.join(", ")}`,
  );
  return failed.length === 0 ? 0 : 1;
}

Deno.exit(await main());
