// Stands in for jsr:@std/async, which only JSR serves: npm's compile of the same sources, with types.
// Its mod.js names a file that the package lacks, so the parts are named one by one.
// @ts-types="./mod.d.ts"
export * from "./mod.js";
