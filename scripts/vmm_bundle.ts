/**
 * The VMM as the appliance runs it, bundled: a start from the sources has to compile them first, which
 * under emulation takes longer than a guest's boot.
 *
 * @module
 */
import { denoPlugin } from "@deno/esbuild-plugin";
import * as esbuild from "esbuild";
import { CHECKOUT } from "./setup/checkout.ts";

export interface BundleOptions {
  /** Where it goes; out/vmm without. */
  outdir?: string;
  /** What it says of itself, where it is to be taken for another release. */
  version?: string;
}

/** Bundles the VMM and its workers and returns the main module's path. */
export async function vmmBundle(options: BundleOptions = {}): Promise<string> {
  const { outdir = `${CHECKOUT}/out/vmm`, version } = options;
  const folder = "./hypervisor/vmm";
  await esbuild.build({
    absWorkingDir: CHECKOUT,
    entryPoints: [
      { out: "vmm", in: `${folder}/main.ts` },
      { out: "vcpu_worker", in: `${folder}/vcpu_worker.ts` },
      { out: "mover_worker", in: `${folder}/mover_worker.ts` },
      { out: "arrival_worker", in: `${folder}/arrival_worker.ts` },
    ],
    outdir,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "esnext",
    // Identifiers stay: keeping only names costs a call for each function at every start.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "error",
    plugins: [...(version === undefined ? [] : [sayingItIs(version)]), denoPlugin()],
  });
  await esbuild.stop();
  return `${outdir}/vmm.js`;
}

function sayingItIs(version: string): esbuild.Plugin {
  return {
    name: "version",
    setup(build) {
      const contents = `export const VERSION = ${JSON.stringify(version)};`;
      build.onLoad({ filter: /\/vmm\/version\.ts$/ }, () => ({ contents, loader: "js" }));
    },
  };
}

if (import.meta.main) console.log(await vmmBundle());
