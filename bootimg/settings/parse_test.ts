import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { MOST_BYTES, parseSettings } from "./parse.ts";

const GOOD = `# The lab's first host
hostname: lab-1
network:
  bridges:
    - name: br0
      uplink: "52:54:00:12:34:56"
      vlan: 20
      ipv4: { method: static, address: 192.0.2.7/24, gateway: 192.0.2.1 }
      ipv6: { method: none }
    - { name: br1, uplink: null, ipv4: { method: none } }
  dns: [192.0.2.1, "2001:db8::53"]
timezone: Europe/Berlin
ntp: [pool.ntp.org]
syslog:
`;

Deno.test("what is right is taken, with its defaults", () => {
  const { settings, mistakes } = parseSettings(GOOD);
  assertEquals(mistakes, []);
  assertEquals(settings.hostname, "lab-1");
  assertEquals(settings.network?.bridges.map(({ name, uplink, vlan }) => [name, uplink, vlan]), [
    ["br0", "52:54:00:12:34:56", 20],
    ["br1", null, null],
  ]);
  assertEquals(settings.network?.bridges[1].ipv6.method, "auto");
  assertEquals(settings.syslog, null, "back to the default");
  assert(!("password" in settings), "what is left out is left alone");
});

function mistakes(text: string): [number, string][] {
  return parseSettings(text).mistakes.map(({ line, reason }) => [line, reason]);
}

Deno.test("each mistake has its line, and spoils its own field only", () => {
  const text = `hostname: lab-1
hostnam: x
timezone: Nowhere/Else
network:
  bridges:
    - name: br0
      vlan: 5000
      cable: red
      ipv4:
        method: static
ntp:
  - ok.example
  - "not one"
`;
  assertEquals(mistakes(text), [
    [2, "hostnam is not a setting"],
    [3, "timezone must be a time zone such as Europe/Berlin"],
    [7, "network.bridges.0.vlan must be at most 4094"],
    [9, "network.bridges.0.ipv4.address is missing"],
    [8, "network.bridges.0.cable is not a field of this"],
    [13, "ntp.1 must be a host name or an IP address"],
  ]);
  assertEquals(parseSettings(text).settings, { hostname: "lab-1" });
});

Deno.test("a network that cannot be is told where it cannot", () => {
  const bridges = (...lines: string[]) =>
    `network:\n  bridges:\n${lines.map((it) => `    - ${it}\n`).join("")}`;
  assertEquals(mistakes(bridges("{ name: br1 }")), [
    [2, "network.bridges must have one with the name br0, which guests use by default"],
  ]);
  assertEquals(mistakes(bridges("{ name: br0 }", "{ name: br1 }")), [
    [4, "network.bridges.1.uplink is another bridge's, with the same VLAN"],
  ]);
  assertEquals(mistakes(bridges("{ name: br0, uplink: bond0 }")), [
    [3, "network.bridges.0.uplink is a bond that is not among the bonds"],
  ]);
  const static4 = "{ method: static, address: 192.0.2.7/24, gateway: 198.51.100.1 }";
  assertEquals(mistakes(bridges(`{ name: br0, ipv4: ${static4} }`)), [
    [3, "network.bridges.0.ipv4.gateway must be in the network of 192.0.2.7/24"],
  ]);
});

Deno.test("what is no YAML, or too much of it, is told and taken nothing of", () => {
  const only = (text: string) => {
    const read = parseSettings(text);
    assertEquals(read.settings, {});
    assertEquals(read.mistakes.length > 0, true, text.slice(0, 40));
    return read.mistakes[0];
  };
  assertEquals(only("hostname: lab\nntp: [a\n").line, 3);
  assertEquals(only("hostname: a\nhostname: b\n").line, 2);
  assertStringIncludes(only("ntp: &a [x]\ndataDisks: *a\n").reason, "aliases");
  assertEquals(only("ntp: &a [x]\ndataDisks: *a\n").line, 2);
  assertStringIncludes(only("hostname: !!js/function x\n").reason, "tag");
  assertStringIncludes(only("just words").reason, "must have fields");
  assertStringIncludes(only("#".repeat(MOST_BYTES + 1)).reason, "bytes");
  for (const mark of ["[", "{a: ", "- ", "? ", "&a [", "!a [", '"k": [']) {
    assert(only(mark.repeat(10_000)).line >= 1, mark);
  }
});

Deno.test("an empty file says nothing and has no mistake", () => {
  for (const text of ["", "# later\n", "---\n", "~"]) {
    assertEquals(parseSettings(text), { settings: {}, mistakes: [] });
  }
});

Deno.test("any text gives settings, or mistakes with a line of it", () => {
  const token = fc.constantFrom(
    ...["hostname", "network", "bridges", "ntp", "password", ":", " ", "  ", "\n", "- ", "? "],
    ...["[", "]", "{", "}", ",", "&a", "*a", "!!map", "|", ">", "'", '"', "#", "---", "..."],
    ...["%YAML 1.2", "null", "br0", "1", "<<", "__proto__", "\r\n", "\t", "\ufeff", "\0"],
  );
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 200 }),
    fc.array(token, { maxLength: 60 }).map((it) => it.join("")),
    // A file that is right but for one place.
    fc.tuple(fc.nat(GOOD.length), fc.nat(12), token).map(([at, length, it]) =>
      GOOD.slice(0, at) + it + GOOD.slice(at + length)
    ),
  );
  fc.assert(
    fc.property(text, (it) => {
      const { settings, mistakes } = parseSettings(it);
      const lines = it.split(/\r\n|\r|\n/).length + 1;
      for (const { line, reason } of mistakes) {
        assert(Number.isInteger(line) && line >= 1 && line <= lines, `${line} of ${lines}`);
        assert(reason.length > 0);
      }
      const { hostname } = settings;
      assert(hostname === undefined || hostname === null || /^[a-z0-9-]+$/.test(hostname));
    }),
    { numRuns: 500 },
  );
});
