/**
 * Debian's tools to measure and profile with, beside the root of trixie: unpacked from pinned
 * packages, so that neither the lab nor its saved state grows with them.
 *
 * ```ts
 * const tools = await measuringTools();
 * await run(["perf", "stat", "true"], { env: toolsEnvironment(tools) });   // in the lab
 * ```
 *
 * @module
 */
import { builtOnce } from "./built_once.ts";
import { fetchDebs, readLock, unpackDeb } from "./debs.ts";

const LOCK = "scripts/setup/packages.lock";

const PACKAGES = [
  // cyclictest and hackbench; requests and answers.
  "rt-tests",
  "sockperf",
  // perf, and what of its libraries the root of trixie has not got.
  "linux-perf",
  "libbabeltrace1",
  "libcurl3t64-gnutls",
  "libdebuginfod1t64",
  "libdw1t64",
  "libngtcp2-16",
  "libngtcp2-crypto-gnutls8",
  "libopencsd1",
  "libperl5.40",
  "libpython3.13",
  "libslang2",
  "libtraceevent1",
];

/** The folder under which the packages' `usr/bin` and `usr/lib` lie, unpacked on the first call. */
export async function measuringTools(): Promise<string> {
  const pins = (await readLock(LOCK)).trixie!;
  return await builtOnce({
    name: "measuring-tools",
    madeFrom: PACKAGES.map((name) => pins[name].sha256).join("\n"),
    step: "unpacking perf, rt-tests and sockperf",
    async build(target) {
      const debs = await fetchDebs(LOCK, "trixie", PACKAGES);
      for (const path of Object.values(debs)) await unpackDeb(path, target);
    },
  });
}

/** Where libraries lie below the tools' folder and below the root of trixie. */
export const LIBRARIES = "usr/lib/x86_64-linux-gnu";

/** The environment in which the lab finds the tools. */
export function toolsEnvironment(tools: string): Record<string, string> {
  return {
    PATH: `${tools}/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    LD_LIBRARY_PATH: `${tools}/${LIBRARIES}`,
    // perf would page its output, and looks for its own parts by this.
    PAGER: "cat",
    PERF_EXEC_PATH: `${tools}/usr/libexec/perf-core`,
  };
}

if (import.meta.main) {
  for (const [name, value] of Object.entries(toolsEnvironment(await measuringTools()))) {
    console.log(`export ${name}="${value}"`);
  }
}
