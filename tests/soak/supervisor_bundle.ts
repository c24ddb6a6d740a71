/**
 * The supervisor in a file, as the appliance has it.
 *
 * @module
 */
import { bundle, ENTRIES } from "../../bootimg/build/app_root.ts";
import { OUT } from "../../scripts/setup/checkout.ts";

/** Its path. */
export async function supervisorBundle(): Promise<string> {
  const { supervisor } = ENTRIES;
  const [[, bytes]] = await bundle({ supervisor });
  const path = `${OUT}/soak-supervisor.js`;
  await Deno.mkdir(OUT, { recursive: true });
  await Deno.writeFile(path, bytes);
  return path;
}
