/**
 * A hostile guest with one of each device, and a neighbour on the same host.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Folder } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { anyDeviceCases } from "./any_device_cases.ts";
import { BEFORE_SHRINKING, blockCases } from "./block_cases.ts";
import { BlockDriver, diskImage, SECTOR_BYTES } from "./block_driver.ts";
import { balloon, consolePorts, entropy, memoryDevice, network, sockets } from "./devices.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest, type HostileRun, type VmmCommand } from "./hostile_guest.ts";
import { pciCases } from "./pci_cases.ts";
import { queueCases } from "./queue_cases.ts";
import { TestTap } from "./test_tap.ts";
import { raceCases } from "./race_cases.ts";

/** Of a guest's doing, a VMM says this much at most. */
const MAX_LINES = 20;
const MAX_LINE_BYTES = 300;

/** Reads its disk before and after all that happens beside it. */
function neighbour(): GuestProgram {
  const program = new GuestProgram();
  const disk = new BlockDriver(program, { nth: 0 });
  program.case("the neighbour's disk works", () => disk.recovers());
  program.waitForTest();
  program.case("the neighbour's disk still works", () => {
    for (let i = 0; i < 100; i++) disk.readsSector(i);
  });
  return program;
}

function hostile(hasNetwork: boolean): GuestProgram {
  const program = new GuestProgram();
  const disk = new BlockDriver(program, { nth: 0 });
  const bystander = new BlockDriver(program, { nth: 1 });
  queueCases(disk, bystander);
  pciCases(disk, bystander);
  const devices = [
    entropy,
    balloon,
    memoryDevice,
    consolePorts,
    sockets,
    ...(hasNetwork ? [network] : []),
  ];
  for (const device of devices) anyDeviceCases(device(program), bystander);
  raceCases(disk, bystander);
  blockCases(disk, bystander);
  return program;
}

/** Runs both with a VMM each; every case is a step of the test. */
export async function hostileGuest(t: Deno.TestContext, vmm: VmmCommand): Promise<void> {
  using folder = new Folder();
  const image = (name: string) => folder.file(name, diskImage());
  const disk = image("disk");
  const beside = new HostileGuest(neighbour(), {
    // It polls for most of its life, which need not cost the hostile guest its processor.
    vmm: ["nice", "-n", "19", ...vmm],
    folder: folder.path,
    args: ["--memory", "128M", "--disk", image("neighbour")],
  });
  using tap = TestTap.create();
  const guest = new HostileGuest(hostile(tap !== null), {
    vmm,
    folder: folder.path,
    args: [
      ...["--cpus", "2", "--memory", "128M,hotplug=128M", "--balloon", "0M"],
      ...["--console", `${folder.path}/hvc0`, "--port", `${folder.path}/port`],
      ...["--vsock", `${folder.path}/vsock`],
      ...["--disk", disk, "--disk", image("bystander"), ...(tap ? ["--net", tap.name] : [])],
    ],
  });
  await guest.isThrough(BEFORE_SHRINKING);
  await Deno.truncate(disk, diskImage().length - SECTOR_BYTES);
  await guest.type();
  const run = await guest.ended();
  await beside.type();
  await check(t, run);
  await check(t, await beside.ended());
}

async function check(t: Deno.TestContext, run: HostileRun): Promise<void> {
  for (const { name, wrong } of run.verdicts) {
    await t.step(name, () => assertEquals(wrong, [], run.errors));
  }
  await t.step("it came to its end, and its VMM said little", () => {
    assertEquals(run.code, 0, run.errors);
    const lines = run.errors.trimEnd().split("\n");
    assert(lines.length <= MAX_LINES, `${lines.length} lines`);
    for (const line of lines) assert(line.length <= MAX_LINE_BYTES, line);
  });
}
