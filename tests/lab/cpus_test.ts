import { assert, assertEquals } from "@std/assert";
import { hasItsCpus, reseeds } from "./machine_checks.ts";
import { boot, TRIXIE } from "./stock_guest.ts";

Deno.test("eight vCPUs of a named model, and RAM on both sides of the hole below 4 GiB", async () => {
  const control = `${await Deno.makeTempDir()}/control.sock`;
  await using guest = await boot(TRIXIE, {
    ...{ cpus: 8, memory: "8G" },
    more: ["--cpu", "x86-64-v2,hyperv,nested,sockets=2,threads=2", "--control", control],
  });
  assertEquals(await guest.run("nproc"), "8");
  const kib = Number(/\d+/.exec(await guest.run("grep MemTotal /proc/meminfo"))![0]);
  assert(kib > 7.5 * 2 ** 20, `${kib} KiB are too few`);
  await hasItsCpus(guest);
  await reseeds(guest, control);
  await guest.type("poweroff\n");
  assertEquals(await guest.ended(), 0);
});
