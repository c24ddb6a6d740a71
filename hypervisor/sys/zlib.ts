/**
 * Node's module of what packs and unpacks, which takes a while to load: only who needs it loads it.
 *
 * @module
 */

export function zlib(): typeof import("node:zlib") {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: string): typeof import("node:zlib") };
  };
  return process.getBuiltinModule("node:zlib");
}
