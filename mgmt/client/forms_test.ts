import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { GuestCreate, GuestUpdate } from "../../hypervisor/supervisor/api/schemas.ts";
import { checkForm, placeErrors } from "./forms.ts";

Deno.test("wrong fields are told by their paths, right ones pass as they are", () => {
  const checked = checkForm(GuestCreate, {
    name: "Bad Name",
    kernel: "k",
    disks: [{ sizeMiB: 0 }],
  });
  assertEquals("errors" in checked && Object.keys(checked.errors).sort(), [
    "disks.0.sizeMiB",
    "name",
  ]);
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

Deno.test("messages stand at the fields that they are about, and others above all", () => {
  const fields = ["name", "cpu.pinning", "", "disks.0.sizeMiB"];
  assertEquals(placeErrors({ name: "a", "cpu.pinning.0.1": "b", "": "c", "x.y": "d" }, fields), {
    name: "a",
    "cpu.pinning": "b",
    form: "c. x.y: d",
  });
  const paths = fc.oneof(fc.string(), fc.constantFrom("name", "cpu", "cpu.pinning", "names"));
  fc.assert(fc.property(fc.dictionary(paths, fc.string({ minLength: 1 })), (found) => {
    const placed = placeErrors(found, fields);
    const told = Object.values(placed).join(" ");
    for (const [path, message] of Object.entries(found)) {
      const isSecond = path.startsWith("cpu.pinning.") && "cpu.pinning" in placed;
      assertEquals(isSecond || told.includes(message), true);
    }
  }));
});
