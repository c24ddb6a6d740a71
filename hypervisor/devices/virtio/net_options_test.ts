import { assertEquals, assertThrows } from "@std/assert";
import { formatMac, parseMac } from "./net_options.ts";

Deno.test("a MAC address is six bytes of a station", () => {
  assertEquals([...parseMac("52:54:00:aB:cD:eF")], [0x52, 0x54, 0, 0xab, 0xcd, 0xef]);
  assertEquals(formatMac(parseMac("52:54:00:aB:cD:eF")), "52:54:00:ab:cd:ef");
  assertThrows(() => parseMac("52:54:00:ab:cd"), SyntaxError);
  assertThrows(() => parseMac("52-54-00-ab-cd-ef"), SyntaxError);
  assertThrows(() => parseMac("53:54:00:ab:cd:ef"), RangeError, "a group's");
  assertThrows(() => parseMac("00:00:00:00:00:00"), RangeError, "all zeros");
});
