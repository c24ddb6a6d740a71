/**
 * How large the image is, part by part, and how large it may be.
 *
 * @module
 */

const MIB = 1024 * 1024;
/** What an image should not exceed. */
export const WANTED_BYTES = 64 * MIB;
/** What no image may exceed: the build fails. */
export const MOST_BYTES = 96 * MIB;

/** What an image holds, in bytes. */
export interface ImageParts {
  image: number;
  loader: number;
  system: number;
  kernel: number;
  base: number;
  /** Nothing in the variant without. */
  firmware: number;
  app: number;
}

/** Throws if the image is too large. */
export function checkSize(parts: ImageParts): void {
  if (parts.image <= MOST_BYTES) return;
  throw new RangeError(
    `Cannot use the image: it has ${mib(parts.image)}, ${
      mib(MOST_BYTES)
    } at most; take something out of it\n${sizeTable(parts)}`,
  );
}

/** A line for each part. */
export function sizeTable(parts: ImageParts): string {
  const rows: [string, number][] = [
    ["image", parts.image],
    ["  boot loader", parts.loader],
    ["  system", parts.system],
    ["    kernel", parts.kernel],
    ["    Linux base (modules, libraries, Deno)", parts.base],
    ["    firmware", parts.firmware],
    ["    Denovisor", parts.app],
  ];
  const lines = rows.filter(([, bytes]) => bytes > 0)
    .map(([name, bytes]) => `  ${name.padEnd(44)}${mib(bytes).padStart(10)}`);
  if (parts.image > WANTED_BYTES) {
    lines.push(`  above the ${mib(WANTED_BYTES)} that it should have`);
  }
  return lines.join("\n");
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
