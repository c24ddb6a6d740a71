import { assertEquals } from "@std/assert";
import { formatBytes, formatMiB, formatSpan, formatTime } from "./format.ts";

Deno.test("sizes take the unit that keeps them short", () => {
  assertEquals(
    [512, 1024, 1536, 2048, 123456, 1024 * 1024].map(formatMiB),
    ["512 MiB", "1 GiB", "1.5 GiB", "2 GiB", "121 GiB", "1 TiB"],
  );
  assertEquals([0, 1023, 1024, 1536 * 1024].map(formatBytes), [
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 MiB",
  ]);
});

Deno.test("spans show their two largest units", () => {
  assertEquals(
    [0, 59_000, 60_000, 3_661_000, 90_000_000, -5].map(formatSpan),
    ["0 s", "59 s", "1 min", "1 h 1 min", "1 d 1 h", "0 s"],
  );
});

Deno.test("times are told to the minute, in UTC", () => {
  assertEquals(formatTime("2026-11-22T17:40:12.345Z"), "2026-11-22 17:40 UTC");
});
