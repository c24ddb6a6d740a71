/**
 * Measures our VMM against QEMU, and our exit loop against the same in C, in one boot of the lab.
 *
 * @module
 */
import { runInLab } from "./lab.ts";
import { markerInitrd } from "./lab_pc/marker_initrd.ts";
import { parseLabOptions } from "./lab_pc/options.ts";
import { CHECKOUT, OUT } from "./setup/checkout.ts";
import { guestSystem } from "./setup/guests.ts";
import { vmmBundle } from "./vmm_bundle.ts";

const USAGE = `Usage: ./scripts/bench [boot|memory|exits]...

  boot    seconds from a monitor's start to its guest's init: ours, QEMU microvm, QEMU q35
  memory  private memory of a monitor whose guest with one vCPU idles
  exits   nanoseconds of an exit in our loop and in the same loop in C
Prints ratios and writes out/bench.json. Without arguments: all of them.`;

if (import.meta.main) {
  const known = ["boot", "memory", "exits"];
  const chosen = Deno.args.length > 0 ? Deno.args : known;
  if (chosen.some((it) => !known.includes(it))) {
    console.error(`Cannot measure "${chosen.find((it) => !known.includes(it))}"\n\n${USAGE}`);
    Deno.exit(2);
  }
  await Deno.mkdir(OUT, { recursive: true });
  const guest = await guestSystem({ suite: "trixie", flavour: "cloud" });
  const job = {
    vmm: await vmmBundle(),
    guest: { kernel: guest.kernel, initrd: await markerInitrd(), memoryMiB: 256 },
    result: `${OUT}/bench.json`,
    chosen,
  };
  const inside = `${CHECKOUT}/scripts/bench_run/inside.ts`;
  const options = parseLabOptions([
    ...["--", "deno", "run", "-A", "--no-check", inside, JSON.stringify(job)],
  ]);
  const code = await runInLab(options, {
    onOutput: (bytes) => Deno.stdout.writeSync(bytes),
    onErrors: (bytes) => Deno.stderr.writeSync(bytes),
  });
  Deno.exit(code);
}
