/**
 * What the kernel's own headers say, for tests of declared tables: a C program that prints numbers.
 *
 * @module
 */
import type { Struct } from "../struct.ts";

/** Compiles `expressions` with `includes` and returns their values, in order. */
export function fromHeaders(includes: readonly string[], expressions: readonly string[]): bigint[] {
  const source = [
    ...["stdio.h", "stddef.h", ...includes].map((name) => `#include <${name}>`),
    "int main(void) {",
    ...expressions.map((e) => `  printf("%llu\\n", (unsigned long long)(${e}));`),
    "}",
  ].join("\n");
  const folder = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${folder}/print.c`, source);
    run("gcc", ["-O0", "-o", `${folder}/print`, `${folder}/print.c`]);
    return run(`${folder}/print`, []).trim().split("\n").map(BigInt);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function run(command: string, args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command(command, { args }).outputSync();
  if (!success) throw new Error(`Cannot run "${command}": ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** A number of ours beside the C expression that must equal it. */
export type Claims = Record<string, number | bigint>;

export interface StructClaims {
  /** Where a field has another name or lies within another in C. */
  renamed?: Record<string, string>;
  /** Fields that have no counterpart in C. */
  ours?: readonly string[];
  /** The table describes the beginning of the struct only. */
  partial?: boolean;
}

/** Size and offsets of a declared struct, as C expressions. */
// deno-lint-ignore no-explicit-any
export function claimsOf(table: Struct<any>, options: StructClaims = {}): Claims {
  const { renamed = {}, ours = [], partial = false } = options;
  const type = `struct ${table.name}`;
  const claims: Claims = partial ? {} : { [`sizeof(${type})`]: table.size };
  for (const [field, offset] of Object.entries(table.offsets) as [string, number][]) {
    if (ours.includes(field)) continue;
    claims[`offsetof(${type}, ${renamed[field] ?? field})`] = offset;
  }
  return claims;
}

/** The claims that the headers contradict: empty where all hold. */
export function contradictions(includes: readonly string[], claims: Claims): string[] {
  const entries = Object.entries(claims);
  const values = fromHeaders(includes, entries.map(([expression]) => expression));
  return entries.flatMap(([expression, ours], i) =>
    BigInt(ours) === values[i] ? [] : [`${expression} is ${values[i]}, not ${ours}`]
  );
}
