/**
 * Tells the bundled server where its static files lie, before it is evaluated: `--assets DIR` holds
 * what the build's root held. The build writes the property in place of `import.meta.dirname`.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { join, resolve } from "@std/path";

const { assets } = parseArgs(Deno.args, { string: ["assets"] });
Object.assign(globalThis, { consoleBuildRoot: join(resolve(assets ?? "."), "_fresh") });
