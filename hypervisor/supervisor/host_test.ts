import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Host } from "./api/schemas.ts";
import { findKvmProblem, parseCpuModel, readHost } from "./host.ts";

Deno.test("the host's facts are those of the API", async () => {
  const host = await readHost({
    data: "/",
    startedAt: new Date().toISOString(),
    stores: [],
    atShutdown: "save",
  });
  Host.parse(host);
  assert(host.memoryFreeMiB <= host.memoryMiB && host.diskFreeMiB <= host.diskMiB);
  assert(host.addresses.every((address) => !address.startsWith("127.")));
});

Deno.test("the processor's name is read from any text", () => {
  const cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 7B13 \nflags\t\t: svm\n";
  assertEquals(parseCpuModel(cpuinfo), "AMD EPYC 7B13");
  fc.assert(fc.property(fc.string(), (text) => assert(parseCpuModel(text).length > 0)));
});

Deno.test("a host without /dev/kvm says what to do", () => {
  const problem = findKvmProblem("/nonexistent/kvm");
  assert(problem!.startsWith('Cannot open "/nonexistent/kvm": ENOENT. Turn on virtualization'));
  assertEquals(findKvmProblem("/dev/null"), null);
});
