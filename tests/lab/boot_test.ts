import { assertEquals, assertMatch } from "@std/assert";
import { IS_THOROUGH } from "../hostile/thorough.ts";
import { isAtARandomAddress, type KernelStart } from "./machine_checks.ts";
import type { RunningGuest } from "./running_guest.ts";
import { boot, type Choice } from "./stock_guest.ts";

/** A guest's end: how it comes about, and the VMM's exit code. */
const ENDS = {
  "powers off": { end: (guest: RunningGuest) => guest.type("poweroff\n"), code: 0 },
  "powers off by its button": { end: (guest: RunningGuest) => guest.signal("SIGTERM"), code: 0 },
  "asks for a reset": { end: (guest: RunningGuest) => guest.type("reboot -f\n"), code: 4 },
} as const;

// Under nested emulation a boot takes most of a minute, so each kernel also shows an end of its own.
// They are packed as LZ4, Zstandard and xz. The guest of disks_test.ts is started by PVH, and panics.
const KERNELS: [Choice, RegExp, keyof typeof ENDS, KernelStart][] = [
  [{ suite: "bookworm", flavour: "cloud" }, /^6\.1\..*cloud/, "asks for a reset", "cache"],
  [{ suite: "trixie", flavour: "generic" }, /^6\.12\.(?!.*cloud)/, "powers off", "cache"],
  [
    { suite: "bookworm", flavour: "generic" },
    /^6\.1\.(?!.*cloud)/,
    "powers off by its button",
    "bzImage",
  ],
];

for (const [choice, release, how, start] of IS_THOROUGH ? KERNELS : KERNELS.slice(0, 2)) {
  const { suite, flavour } = choice;
  Deno.test(`Debian ${suite}'s ${flavour} kernel boots to a login prompt and ${how}`, async () => {
    await using guest = await boot({ choice, start });
    assertEquals(guest.errors.includes("unpacks itself"), false, guest.errors);
    if (start === "cache") await isAtARandomAddress(guest);
    assertMatch(await guest.run("uname -r"), release);
    assertEquals(await guest.run("cat /sys/block/vda/serial"), "LAB-0001");
    assertMatch(await guest.run("grep ' / ' /proc/mounts"), /^\/dev\/vda \/ ext4 rw/m);
    assertMatch(
      await guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource"),
      /^(kvm-clock|tsc)$/,
    );
    const { end, code } = ENDS[how];
    await end(guest);
    assertEquals(await guest.ended(), code);
  });
}
