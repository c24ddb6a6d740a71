// Stands in for jsr:@std/cli, which only JSR serves: npm's compile of the same sources, with types.
// Of its parts, unicode_width lacks a file in npm's package, so only the one that is needed is here.
// @ts-types="./mod.d.ts"
export * from "npm:deno-std@1.4.0/cli/parse_args.js";
