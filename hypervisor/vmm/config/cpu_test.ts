import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { cpu, cpuFromFlag } from "./cpu.ts";
import { ConfigError } from "./fields.ts";

const NOTHING = {
  ...{ model: undefined, features: undefined, topology: undefined },
  ...{ hyperv: undefined, nested: undefined },
};

Deno.test("a CPU comes back as it is", () => {
  assertEquals(cpu({}, 1), NOTHING);
  const whole = {
    model: "x86-64-v3",
    features: { aes: true, avx2: false },
    topology: { sockets: 2, cores: 2, threads: 1 },
    hyperv: true,
    nested: false,
  };
  assertEquals(cpu(whole, 4), whole);
});

Deno.test("what cannot be is refused with what could", () => {
  const refused = (value: unknown, says: string) =>
    assertStringIncludes(assertThrows(() => cpu(value, 4), ConfigError).message, says);
  refused({ model: "486" }, "it must be one of host, x86-64-v2, ");
  refused({ features: ["aes"] }, "they must be an object");
  refused({ features: { ae: true } }, 'the CPU feature "ae"');
  refused({ features: { aes: 1 } }, 'the CPU feature "aes" 1: it must be true or false');
  refused({ features: { svm: true } }, 'ask for it by "nested"');
  refused({ topology: { sockets: 1, cores: 2, threads: 1 } }, "are not 4 CPUs");
  refused({ topology: { sockets: 1, cores: 4 } }, "the CPU topology's threads undefined");
  refused({ speed: 9 }, "known fields are model,");
});

Deno.test("a flag says the same in fewer words", () => {
  assertEquals(cpuFromFlag("host", 2), { model: "host" });
  assertEquals(cpuFromFlag("x86-64-v2,+aes,-popcnt,hyperv,nested,sockets=2", 4), {
    model: "x86-64-v2",
    features: { aes: true, popcnt: false },
    topology: { sockets: 2, cores: 2, threads: 1 },
    ...{ hyperv: true, nested: true },
  });
  assertEquals(cpuFromFlag("host,threads=2", 4).topology, { sockets: 1, cores: 2, threads: 2 });
  assertThrows(() => cpuFromFlag("host,fast", 1), ConfigError, 'Cannot use --cpu option "fast"');
});

Deno.test("any text or JSON is a CPU that parses to itself, or a ConfigError", () => {
  const text = fc.array(
    fc.oneof(fc.constantFrom("host", "EPYC", "+aes", "-avx", "sockets=2", "nested"), fc.string()),
  ).map((parts) => parts.join(","));
  const value = fc.oneof(
    fc.jsonValue(),
    fc.record({
      model: fc.constantFrom("host", "EPYC", "x"),
      features: fc.dictionary(fc.constantFrom("aes", "x", "__proto__"), fc.boolean()),
      topology: fc.record({ sockets: fc.nat(3), cores: fc.nat(3), threads: fc.nat(3) }),
    }, { requiredKeys: [] }),
  );
  fc.assert(fc.property(value, text, fc.integer({ min: 1, max: 8 }), (value, text, cpus) => {
    for (const make of [() => cpu(value, cpus), () => cpu(cpuFromFlag(text, cpus), cpus)]) {
      let parsed;
      try {
        parsed = make();
      } catch (error) {
        assert(error instanceof ConfigError, String(error));
        continue;
      }
      assertEquals(cpu(parsed, cpus), parsed);
    }
  }));
});
