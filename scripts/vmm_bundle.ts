/**
 * The VMM as the appliance runs it, bundled: a start from the sources has to compile them first, which
 * under emulation takes longer than a guest's boot.
 *
 * @module
 */
import { denoPlugin } from "@deno/esbuild-plugin";
import * as esbuild from "esbuild";
import { CHECKOUT } from "./setup/checkout.ts";

/** Bundles the VMM and its workers to out/vmm and returns the main module's path. */
export async function vmmBundle(): Promise<string> {
  const outdir = `${CHECKOUT}/out/vmm`;
  const folder = "./hypervisor/vmm";
  await esbuild.build({
    absWorkingDir: CHECKOUT,
    entryPoints: [
      { out: "vmm", in: `${folder}/main.ts` },
      { out: "vcpu_worker", in: `${folder}/vcpu_worker.ts` },
      { out: "mover_worker", in: `${folder}/mover_worker.ts` },
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
    plugins: [denoPlugin()],
  });
  await esbuild.stop();
  return `${outdir}/vmm.js`;
}

if (import.meta.main) console.log(await vmmBundle());
