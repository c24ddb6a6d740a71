/**
 * What two hosts prove to each other, as texts to be signed or keyed.
 *
 * The TLS server's certificate is the one that the client expects, or the client hangs up before it says
 * anything. Inside, the client signs a text that names both certificates and a nonce of the server's:
 * whoever it is meant for cannot use it elsewhere, and nobody can use it again.
 *
 * A pairing code has 100 random bits and is good once, for a few minutes. So whoever hears a text keyed
 * with it cannot find the code by trying, and a password-authenticated key exchange would add nothing.
 * The texts name both certificates: whoever sits in the middle has others.
 *
 * @module
 */
import { encodeHex } from "@std/encoding";
import { sameSecret } from "../access/secrets.ts";

/** Bumped when two versions could misunderstand each other. */
export const PEER_PROTOCOL = 2;

const NONCE_BYTES = 32;
const text = new TextEncoder();

/** Both hosts' certificates, by SHA-256 in hex. */
export interface Ends {
  server: string;
  client: string;
}

/** 256 random bits, in hex. */
export function newNonce(): string {
  return encodeHex(crypto.getRandomValues(new Uint8Array(NONCE_BYTES)));
}

/** What the client signs to show that it is who it says. */
export function clientText(nonce: string, { server, client }: Ends): string {
  return `denovisor peer ${PEER_PROTOCOL} client\n${nonce}\n${server}\n${client}\n`;
}

/** What shows, keyed with the code, that `who` knows it. */
export function codeProof(
  code: string,
  who: "server" | "client",
  about: Ends & { serverNonce: string; clientNonce: string },
): Promise<string> {
  const { server, client, serverNonce, clientNonce } = about;
  return keyed(
    code,
    `denovisor pairing ${PEER_PROTOCOL} ${who}\n${serverNonce}\n${clientNonce}\n${server}\n${client}\n`,
  );
}

/** Whether a proof is the one that was expected, in a time that does not tell. */
export function isProof(said: string, expected: string): boolean {
  return sameSecret(said, expected);
}

async function keyed(code: string, message: string): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", text.encode(code), algorithm, false, ["sign"]);
  return encodeHex(await crypto.subtle.sign("HMAC", key, text.encode(message)));
}
