import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { commandOf, parseServices, SERVICES } from "./services.ts";

Deno.test("what the build writes is what PID 1 reads", () => {
  assertEquals(parseServices(JSON.stringify(SERVICES)), JSON.parse(JSON.stringify(SERVICES)));
});

Deno.test("no process may do everything, and the one on the network is not root", () => {
  for (const { name, flags, uid } of SERVICES) {
    assert(!flags.some((it) => it === "-A" || it.startsWith("--allow-all")), name);
    assert(!flags.some((it) => it.startsWith("--allow-run")), name);
    if (name === "console") assert(uid! > 0 && !flags.some((it) => it.startsWith("--allow-ffi")));
  }
});

Deno.test("the folder to import is an argument only where there is one", () => {
  const [supervisor] = SERVICES;
  const without = commandOf(supervisor, { importFolder: null });
  assert(!without.some((it) => it.includes("import")));
  const with_ = commandOf(supervisor, { importFolder: "/run/denovisor/seed/import" });
  assertEquals(with_.at(-1), "--import=/run/denovisor/seed/import");
  assertEquals(with_.indexOf("/app/supervisor.js") > with_.indexOf("--allow-ffi"), true);
});

Deno.test("a list of services that is none is refused", () => {
  assertThrows(() => parseServices("{}"), TypeError, "it is not an array");
  assertThrows(() => parseServices('[{"name":"x"}]'), TypeError, "a name and an entry");
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    try {
      assert(Array.isArray(parseServices(JSON.stringify(value))));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }));
});
