// Stands in for jsr:@std/ulid, which only JSR serves: npm's compile of the same sources, with types.
// @ts-types="./mod.d.ts"
export * from "npm:deno-std@1.4.0/ulid/mod.js";
