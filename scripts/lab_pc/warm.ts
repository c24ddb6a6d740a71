/**
 * The saved state of a PC that has booted and is prepared, from which every run goes on.
 *
 * @module
 */
import { builtOnce } from "../setup/built_once.ts";
import type { LabFiles } from "./files.ts";
import { UNLINKED } from "./link.ts";
import { LabPc, machineArguments, type PcShape } from "./machine.ts";

/** The path of the saved state for a PC of this shape, made on the first call. */
export async function warmState(files: LabFiles, shape: PcShape): Promise<string> {
  return await builtOnce({
    name: "lab-warm",
    madeFrom: [
      ...[...machineArguments(shape), ...shape.linked ? UNLINKED : [], ...Object.values(files)],
    ].join("\n"),
    step: `booting the lab once, to start warm from then on (${shape.cpus} CPUs, ` +
      `${shape.memoryMiB} MiB, ${shape.disks} disks${shape.linked ? ", linked" : ""})`,
    async build(target) {
      await using pc = await LabPc.start({
        ...shape,
        files,
        diskSizes: Array.from({ length: shape.disks }, () => 2 ** 20),
      });
      await pc.saveWarm(target);
    },
  });
}
