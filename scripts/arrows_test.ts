import { assertEquals } from "@std/assert";
import { checkSources, importsOf, MOST_LINES } from "./arrows.ts";

const check = (path: string, text: string) => checkSources(new Map([[path, text]]));

Deno.test("imports that run with the arrows are fine", () => {
  assertEquals(check("hypervisor/kvm/vm.ts", 'import { a } from "../sys/ioctl.ts";'), []);
  assertEquals(check("hypervisor/supervisor/a.ts", 'import "../vmm/control.ts";'), []);
  assertEquals(check("mgmt/a.tsx", 'import "../hypervisor/supervisor/api/schemas.ts";'), []);
  assertEquals(check("hypervisor/sys/a_test.ts", 'import "../../scripts/setup/trixie.ts";'), []);
});

Deno.test("an import against the arrows is named, in whichever form it is written", () => {
  const forms = [
    'import { a } from "../kvm/vm.ts";',
    'import type { a } from "../kvm/vm.ts";',
    'export * from "../kvm/vm.ts";',
    'import "../kvm/vm.ts";',
    'await import("../kvm/vm.ts");',
    'new Worker(new URL("../kvm/vm.ts", import.meta.url));',
    'import {\n  a,\n} from "../kvm/vm.ts";',
  ];
  for (const form of forms) {
    assertEquals(check("hypervisor/sys/a.ts", form), [
      "hypervisor/sys/a.ts: imports hypervisor/kvm/vm.ts, which is not for hypervisor/sys/",
    ]);
  }
  assertEquals(check("hypervisor/supervisor/a.ts", 'import "../vmm/pc.ts";').length, 1);
  assertEquals(check("mgmt/a.ts", 'import "../hypervisor/supervisor/store/store.ts";').length, 1);
});

Deno.test("an import in a comment or a template is none", () => {
  assertEquals(importsOf("a/b.ts", 'const x = "./c.ts";'), []);
  assertEquals(check("hypervisor/sys/a.ts", '/**\n * import "../vmm/a.ts";\n */'), []);
  assertEquals(check("hypervisor/sys/a.ts", 'write(`\nimport "../vmm/a.ts";\n`);'), []);
  assertEquals(check("hypervisor/sys/a.ts", '  // import "../vmm/a.ts";'), []);
});

Deno.test("libraries are opened in hypervisor/sys/ and nowhere else", () => {
  const call = ["Deno", 'dlopen("libc.so.6", {});'].join(".");
  assertEquals(check("hypervisor/sys/a.ts", call), []);
  assertEquals(check("hypervisor/kvm/a.ts", call).length, 1);
});

Deno.test("a file that is too long, or in no room, is named", () => {
  assertEquals(check("mgmt/a.ts", "\n".repeat(MOST_LINES)), []);
  assertEquals(check("mgmt/a.ts", "\n".repeat(MOST_LINES + 1)).length, 1);
  assertEquals(check("attic/a.ts", "").length, 1);
});
