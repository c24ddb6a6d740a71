/**
 * Guests of stock systems, each with a disk of its own.
 *
 * @module
 */
import { guestSystem } from "../../scripts/setup/guests.ts";
import { quickGuest } from "../../scripts/setup/quick_guest.ts";
import { kernelOptions, type KernelStart } from "./machine_checks.ts";
import { RunningGuest } from "./running_guest.ts";

export type Choice = Parameters<typeof guestSystem>[0];

/** Boots a copy of a stock system's disk and logs in; without a choice, the one that boots soonest. */
export async function boot(options: {
  choice?: Choice;
  cpus?: number;
  memory?: string;
  start?: KernelStart;
  more?: string[];
}): Promise<RunningGuest & { disk: string }> {
  const { choice, cpus = 1, memory = "256M", start = "bzImage", more = [] } = options;
  const system = choice === undefined ? await quickGuest() : await guestSystem(choice);
  const disk = await Deno.makeTempFile({ suffix: ".raw" });
  await new Deno.Command("cp", { args: ["--sparse=always", system.disk, disk] }).output();
  const guest = await RunningGuest.booted([
    ...kernelOptions(system.kernel, start),
    ...["--initrd", system.initrd, "--cmdline", system.cmdline],
    ...["--disk", `${disk},serial=LAB-0001`, "--cpus", String(cpus), "--memory", memory, ...more],
  ]);
  return Object.assign(guest, { disk });
}
