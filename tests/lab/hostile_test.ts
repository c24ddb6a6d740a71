/** The hostile guest of tests/hostile, also where the unit tests' machine has no /dev/kvm. */
import { hostileGuest } from "../hostile/run.ts";
import { VMM } from "./running_guest.ts";

Deno.test("whatever a guest does to its devices, only it is hurt, and a reset helps", (t) =>
  hostileGuest(t, [
    Deno.execPath(),
    ...["run", "-A", "--no-config", "--no-lock", "--no-check", VMM],
  ]));
