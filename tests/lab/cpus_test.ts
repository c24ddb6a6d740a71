import { assert, assertEquals } from "@std/assert";
import { IS_THOROUGH } from "../hostile/thorough.ts";
import { hasItsCpus, reseeds } from "./machine_checks.ts";
import { boot } from "./stock_guest.ts";

/** Eight take three times as long to boot where the emulated PC has two. */
const CPUS = IS_THOROUGH ? 8 : 4;

Deno.test(`${CPUS} vCPUs of a named model, and RAM on both sides of the hole below 4 GiB`, async () => {
  const control = `${await Deno.makeTempDir()}/control.sock`;
  await using guest = await boot({
    ...{ cpus: CPUS, memory: "5G" },
    more: ["--cpu", `x86-64-v2,hyperv,nested,sockets=${CPUS / 4},threads=2`, "--control", control],
  });
  assertEquals(await guest.run("nproc"), String(CPUS));
  const kib = Number(/\d+/.exec(await guest.run("grep MemTotal /proc/meminfo"))![0]);
  assert(kib > 4.5 * 2 ** 20, `${kib} KiB are too few`);
  await hasItsCpus(guest, CPUS);
  await reseeds(guest, control);
  await guest.type("poweroff\n");
  assertEquals(await guest.ended(), 0);
});
