/**
 * The session's cookie.
 *
 * @module
 */

/** The prefix makes browsers refuse it without TLS, with a domain or below another path. */
export const SESSION_COOKIE = "__Host-session";

const LONGEST_HEADER = 8 * 1024;
// A token is 43 characters of base64url; anything else cannot be one.
const TOKEN = /^[\w-]{43}$/;

/** The session's token in a Cookie header; null where there is none, or more than one. */
export function parseSessionToken(header: string | null): string | null {
  if (header === null || header.length > LONGEST_HEADER) return null;
  const values = header.split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${SESSION_COOKIE}=`))
    .map((pair) => pair.slice(SESSION_COOKIE.length + 1));
  return values.length === 1 && TOKEN.test(values[0]) ? values[0] : null;
}

/** The Set-Cookie header that gives the browser `token`; null takes it back. */
export function sessionCookie(token: string | null): string {
  const attributes = "Path=/; HttpOnly; Secure; SameSite=Strict";
  return token === null
    ? `${SESSION_COOKIE}=; ${attributes}; Max-Age=0`
    : `${SESSION_COOKIE}=${token}; ${attributes}`;
}
