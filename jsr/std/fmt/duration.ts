// Stands in for jsr:@std/fmt/duration, which only JSR serves: npm's compile of the same source, with types.
// @ts-types="./duration.d.ts"
export * from "npm:deno-std@1.4.0/fmt/duration.js";
