import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { networkConfigMistake } from "./network_config.ts";

const VERSION_1 = `version: 1
config:
  - type: physical
    name: eth0
    mac_address: "52:54:00:12:34:56"
    subnets:
      - type: static
        address: 192.0.2.7/24
  - type: nameserver
    address: [192.0.2.1]
`;
const VERSION_2 = `network:
  version: 2
  ethernets:
    lan:
      match: { name: "e*" }
      addresses: [192.0.2.7/24, "2001:db8::7/64"]
  bonds: {}
`;

Deno.test("configurations of both versions are taken, with the key network or without", () => {
  for (const text of [VERSION_1, VERSION_2, "version: 1\nconfig: disabled\n", "version: 2\n"]) {
    assertEquals(networkConfigMistake(text), null, text);
  }
});

Deno.test("what is none is told, with its line", () => {
  const cases: [text: string, mistake: string][] = [
    ["", "line 1: must have fields, such as version: 2"],
    ["- a\n", "line 1: must have fields, such as version: 2"],
    ["ethernets: {}\n", "line 1: must say version: 1 or version: 2"],
    ["# new\nversion: 3\n", "line 2: must say version: 1 or version: 2"],
    ["version: '2'\n", "line 1: must say version: 1 or version: 2"],
    ["version: 1\n", "line 1: config must be a list, or disabled"],
    ["version: 1\nconfig:\n  - type: physical\n  - name: eth0\n", "line 4: must have a type"],
    ["version: 2\nethernets:\n  - eth0\n", "line 3: ethernets must have names"],
    ["version: 2\nethernets:\n  eth0:\n", "line 3: ethernets.eth0 must have fields"],
    ["version: 2\nvlans: x\n", "line 2: vlans must have names"],
    ["version: 2\nversion: 2\n", "line 2: version stands here twice"],
    ["version: 2\nethernets: [\n", "line 3: "],
    ["version: 2\na: &x {}\nb: *x\n", "line 3: aliases"],
    [
      VERSION_1.replaceAll('"', ""),
      "line 5: 52:54:00:12:34:56 must be in quotes, or cloud-init reads a number",
    ],
  ];
  for (const [text, mistake] of cases) {
    assertStringIncludes(networkConfigMistake(text) ?? "none", mistake, text);
  }
});

Deno.test("any text is taken, or told what is wrong with it", () => {
  const token = fc.constantFrom(
    ...["version: 1", "version: 2", "config:", "ethernets:", "network:", " ", "  ", "\n", "- "],
    ...["[", "]", "{", "}", ",", ": ", "&a", "*a", "!!map", "|", "'", '"', "#", "1:2", "? "],
  );
  const near = fc.tuple(fc.nat(VERSION_2.length), fc.nat(9), token).map(([at, length, it]) =>
    VERSION_2.slice(0, at) + it + VERSION_2.slice(at + length)
  );
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 200 }),
    fc.array(token, { maxLength: 40 }).map((it) => it.join("")),
    near,
  );
  fc.assert(
    fc.property(text, (text) => {
      const mistake = networkConfigMistake(text);
      assert(mistake === null || /^line [1-9][0-9]*: \S/.test(mistake), mistake ?? "");
    }),
    { numRuns: 500 },
  );
  for (const mark of ["[", "{a: ", "- ", "? ", "&a [", '"k": [']) {
    assert(networkConfigMistake(mark.repeat(3000)) !== null, mark);
  }
});
