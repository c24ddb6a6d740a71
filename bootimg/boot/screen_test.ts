import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { consoleUrl, rankAddresses, renderScreen, type ScreenState } from "./screen.ts";

const READY: ScreenState = {
  version: "1.2.3",
  stage: null,
  addresses: ["192.0.2.7", "2001:db8::7"],
  fingerprint: Array.from({ length: 32 }, (_, i) => i.toString(16).padStart(2, "0")).join(":"),
  setupCode: "ABCDE-FGHJK",
  problems: [],
};

Deno.test("the screen tells all that a new user needs, each on a line of its own", () => {
  const lines = renderScreen(READY);
  assertEquals(lines[0], "Denovisor 1.2.3");
  assert(lines.includes("Console       https://192.0.2.7/"));
  assert(lines.includes("Addresses     192.0.2.7, 2001:db8::7"));
  assert(lines.includes("Set-up code   ABCDE-FGHJK"));
  const text = lines.join("").replaceAll(" ", "");
  assertStringIncludes(text, "00:01:02:03");
  assertStringIncludes(text, "1d:1e:1f");
});

Deno.test("once the password is set there is no code on the screen", () => {
  const text = renderScreen({ ...READY, setupCode: null }).join("\n");
  assert(!text.includes("Set-up"));
});

Deno.test("without an address the screen says what to do", () => {
  assertStringIncludes(renderScreen({ ...READY, addresses: [] }).join("\n"), "plug in a cable");
});

Deno.test("whatever is shown, no line is wider than a text display and none has controls", () => {
  fc.assert(fc.property(
    fc.array(fc.string({ maxLength: 300, unit: "binary" }), { maxLength: 5 }),
    fc.option(fc.string({ maxLength: 200 })),
    (problems, stage) => {
      for (const line of renderScreen({ ...READY, problems, stage })) {
        assert(line.length <= 80, `${line.length} characters`);
        assert(!/\p{Cc}/u.test(line), JSON.stringify(line));
      }
    },
  ));
});

Deno.test("addresses that others can reach come first, those of one link not at all", () => {
  const on = (name: string, address: string) => ({
    name,
    address,
    family: address.includes(":") ? "IPv6" as const : "IPv4" as const,
  });
  const list = [
    on("lo", "127.0.0.1"),
    on("br0", "fe80::1"),
    on("br0", "169.254.3.4"),
    on("br0", "2001:db8::1"),
    on("br0", "192.0.2.1"),
    on("tap0", "192.0.2.9"),
  ];
  assertEquals(rankAddresses(list, ["br0"]), ["192.0.2.1", "2001:db8::1", "169.254.3.4"]);
});

Deno.test("an IPv6 address stands in brackets in a URL", () => {
  assertEquals(consoleUrl("2001:db8::1"), "https://[2001:db8::1]/");
});
