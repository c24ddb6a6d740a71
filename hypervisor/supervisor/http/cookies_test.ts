import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { randomToken } from "../access/secrets.ts";
import { parseSessionToken, SESSION_COOKIE, sessionCookie } from "./cookies.ts";

Deno.test("a token is read back from among other cookies", () => {
  const token = randomToken();
  const pair = sessionCookie(token).split(";")[0];
  assertEquals(parseSessionToken(pair), token);
  assertEquals(parseSessionToken(`theme=dark; ${pair}; lang=en`), token);
});

Deno.test("no header throws, and only a whole token is one", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (value) => {
    assertEquals(parseSessionToken(value), null);
    const token = parseSessionToken(`${SESSION_COOKIE}=${value}`);
    assertEquals(token, /^[\w-]{43}$/.test(value) ? value : null);
  }));
});

Deno.test("two session cookies are none: one of them is not ours", () => {
  const header = `${SESSION_COOKIE}=${randomToken()}; ${SESSION_COOKIE}=${randomToken()}`;
  assertEquals(parseSessionToken(header), null);
});

Deno.test("a header that is too long is not read", () => {
  const pair = `${SESSION_COOKIE}=${randomToken()}`;
  assertEquals(parseSessionToken(`a=${"x".repeat(10_000)}; ${pair}`), null);
});

Deno.test("the cookie is for this host over TLS alone, and not for scripts", () => {
  assertEquals(
    sessionCookie("t"),
    "__Host-session=t; Path=/; HttpOnly; Secure; SameSite=Strict",
  );
  assertEquals(sessionCookie(null).endsWith("Max-Age=0"), true);
});
