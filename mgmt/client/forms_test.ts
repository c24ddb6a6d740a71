import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { GuestCreate, GuestUpdate } from "../../hypervisor/supervisor/api/schemas.ts";
import { checkForm } from "./forms.ts";

Deno.test("wrong fields are told by their paths, right ones pass as they are", () => {
  const checked = checkForm(GuestCreate, { name: "Bad Name", kernel: "k", disk: { sizeMiB: 0 } });
  assertEquals("errors" in checked && Object.keys(checked.errors).sort(), ["disk.sizeMiB", "name"]);
  const wording = checkForm(GuestCreate, { name: "a", kernel: "k", memoryMiB: 5, cpus: 9.5 });
  assertEquals(wording, {
    errors: { memoryMiB: "Must be at least 64", cpus: "Must be a whole number" },
  });
  const good = { name: "web-1", kernel: "vmlinuz" };
  assertEquals(checkForm(GuestCreate, good), { value: good });
});

Deno.test("any input is either taken whole or told to be wrong somewhere", () => {
  fc.assert(fc.property(fc.anything(), (input) => {
    const checked = checkForm(GuestUpdate, input);
    if ("value" in checked) assertEquals(checked.value, input);
    else assertEquals(Object.keys(checked.errors).length > 0, true);
  }));
});
