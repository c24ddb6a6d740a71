/**
 * `deno task image`: builds `out/denovisor-VERSION.img` and says what it is made of.
 *
 * @module
 */
import { buildImage } from "./build/image.ts";

const { path, parts } = await buildImage();
const mib = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
console.log(path);
console.log(`  image        ${mib(parts.image)}`);
console.log(`  boot file    ${mib(parts.bootFile)}`);
console.log(`    kernel     ${mib(parts.kernel)}`);
console.log(`    Linux base ${mib(parts.base)} (modules, libraries, Deno)`);
console.log(`    Denovisor  ${mib(parts.app)}`);
