/** What the bundler writes into browser code in place of the build's id, known only afterwards. */
export const BUILD_ID_PLACEHOLDER = "fresh-build-id-placeholder";

// Replaced as a whole by the bundler's `define` in browser code.
declare const FRESH_BUILD_ID: string | undefined;

let current = typeof FRESH_BUILD_ID === "string" ? FRESH_BUILD_ID : "dev";

/** A hash of everything the browser is served. */
export function buildId(): string {
  return current;
}

export function setBuildId(id: string): void {
  current = id;
}
