// Stands in for jsr:@std/fmt/bytes, which only JSR serves: npm's compile of the same source, with types.
// @ts-types="./bytes.d.ts"
export * from "npm:deno-std@1.4.0/fmt/bytes.js";
