/**
 * Random secrets, their hashes and comparisons that take the same time wherever they differ.
 *
 * @module
 */
import { timingSafeEqual } from "node:crypto";
import { encodeBase64Url, encodeHex } from "@std/encoding";

// Crockford's base 32: no I, L, O or U.
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_GROUPS = 4;
const CODE_GROUP_LENGTH = 5;

const text = new TextEncoder();

/** A code for a person to type: 20 characters of 5 random bits each, in groups. */
export function randomCode(): string {
  const random = crypto.getRandomValues(new Uint8Array(CODE_GROUPS * CODE_GROUP_LENGTH));
  const characters = Array.from(random, (byte) => ALPHABET[byte & 31]).join("");
  return characters.match(new RegExp(`.{${CODE_GROUP_LENGTH}}`, "g"))!.join("-");
}

/** The code that a person meant: without dashes and spaces, letters that look like digits as such. */
export function normalizeCode(typed: string): string {
  return typed.toUpperCase().replace(/[\s-]/g, "").replace(/[IL]/g, "1").replaceAll("O", "0");
}

/** 256 random bits, for a cookie. */
export function randomToken(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(32)));
}

/** A hash for secrets that are random themselves, so that a slow one adds nothing. */
export async function hashToken(token: string): Promise<string> {
  return encodeHex(await crypto.subtle.digest("SHA-256", text.encode(token)));
}

/** A second secret out of `token`, which does not give `token` away. */
export async function deriveToken(token: string, purpose: string): Promise<string> {
  const key = await crypto.subtle.importKey(
    "raw",
    text.encode(token),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  return encodeBase64Url(await crypto.subtle.sign("HMAC", key, text.encode(purpose)));
}

/** Whether two strings are the same, in a time that does not tell where they differ. */
export function sameSecret(a: string, b: string): boolean {
  const left = text.encode(a);
  const right = text.encode(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
