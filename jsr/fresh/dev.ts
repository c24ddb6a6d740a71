/**
 * Builds an app for production, or serves it while it is written.
 *
 * @module
 */
export { Builder, type BuildOptions, type ResolvedBuildConfig } from "./dev/builder.ts";
