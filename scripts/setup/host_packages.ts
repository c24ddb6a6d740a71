/**
 * Debian packages on the machine that these commands run on.
 *
 * @module
 */
import { progress } from "./checkout.ts";
import { run } from "./command.ts";

/** Installs those of `names` that are missing, without their recommendations. */
export async function hostPackages(names: readonly string[]): Promise<void> {
  const missing = await missingPackages(names);
  if (missing.length === 0) return;
  progress(`installing Debian packages: ${missing.join(" ")}`);
  if (Deno.uid() !== 0) {
    throw new Error(
      `Cannot install "${missing.join(" ")}": not root; run as root, or install them yourself`,
    );
  }
  try {
    await install(missing);
  } catch {
    // The lists are absent or name versions that are gone: the common state of a fresh machine.
    progress("refreshing the package lists");
    await run(["apt-get", "update", "-qq", "-o", "DPkg::Lock::Timeout=300"]);
    await install(missing);
  }
}

async function missingPackages(names: readonly string[]): Promise<string[]> {
  const { stdout } = await new Deno.Command("dpkg-query", {
    args: ["-W", "-f=${Package} ${db:Status-Status}\\n", ...names],
    stderr: "null",
  }).output();
  const installed = new Set(
    new TextDecoder().decode(stdout).split("\n")
      .filter((line) => line.endsWith(" installed"))
      .map((line) => line.split(" ")[0]),
  );
  return names.filter((name) => !installed.has(name));
}

async function install(names: readonly string[]): Promise<void> {
  await run(
    [
      "apt-get",
      "install",
      "-y",
      "-qq",
      "--no-install-recommends",
      "-o",
      "DPkg::Lock::Timeout=300",
      ...names,
    ],
    { env: { DEBIAN_FRONTEND: "noninteractive" } },
  );
}
