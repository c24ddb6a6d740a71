import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { HostAddress } from "../api/names.ts";
import { formatAddress, parseAddress, parseListenAddress } from "./address.ts";

Deno.test("addresses", () => {
  assertEquals(parseAddress("host-b"), { hostname: "host-b", port: 8444 });
  assertEquals(parseAddress("10.0.0.1:99"), { hostname: "10.0.0.1", port: 99 });
  assertEquals(parseAddress("[fd00::1]:8445"), { hostname: "fd00::1", port: 8445 });
  assertEquals(formatAddress({ hostname: "::ffff:10.0.0.1", port: 8444 }), "10.0.0.1");
  assertEquals(parseListenAddress("8444"), { hostname: "::", port: 8444 });
  assertEquals(parseListenAddress("[::1]:99"), { hostname: "::1", port: 99 });
  for (const wrong of ["", "a b", "host:0", "host:65536", "[fd00::1", "x".repeat(300)]) {
    assertThrows(() => parseAddress(wrong), SyntaxError);
  }
  for (const wrong of ["", "host", "65536", ":1", "host:65536", "::1:99"]) {
    assertThrows(() => parseListenAddress(wrong), TypeError);
  }
});

Deno.test("what is formatted is read back, and is what the API takes", () => {
  const hostname = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
  fc.assert(fc.property(hostname, fc.integer({ min: 1, max: 65535 }), (hostname, port) => {
    const text = formatAddress({ hostname, port });
    assertEquals(parseAddress(text), { hostname, port });
    assertEquals(HostAddress.safeParse(text).success, true, text);
  }));
});

Deno.test("any text is an address or an error", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    try {
      parseAddress(text);
    } catch (error) {
      assertEquals(error instanceof SyntaxError, true);
    }
  }));
});
