/**
 * What the server entry that `Builder.build()` writes imports; not for sources.
 *
 * @module
 */
export { setBuildCache } from "./server/app.ts";
export { DiskBuildCache, islandsOf } from "./server/build_cache.ts";
