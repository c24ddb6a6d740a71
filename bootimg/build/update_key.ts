/**
 * The key that updates are signed with: its public half is built into the image.
 *
 * @module
 */
import { exists } from "../../scripts/setup/built_once.ts";
import { OUT, progress } from "../../scripts/setup/checkout.ts";
import { formatSigned, statementOf, type SystemFacts } from "../update/statement.ts";

/** A key to sign updates with, or its public half alone. */
export interface UpdateKey {
  /** PEM; empty where there is none. */
  publicKey: string;
  /** Null where updates are signed elsewhere, or not at all. */
  privateKey: CryptoKey | null;
}

/**
 * Of an image for which no key was given: one that was made up would make each checkout's image another.
 */
export const NO_KEY: UpdateKey = { publicKey: "", privateKey: null };

/** Where the key lies that demo and tests sign with. */
const OWN_KEY = `${OUT}/update-key.pem`;

/** RFC 8410's frame around the 32 bytes of a public key. */
const SPKI_HEAD = Uint8Array.fromHex("302a300506032b6570032100");

/** Path of this checkout's own key, for trying things out; made on the first call. */
export async function ownUpdateKey(): Promise<string> {
  if (!await exists(OWN_KEY)) await makeKey(OWN_KEY);
  return OWN_KEY;
}

/** Reads a key, private or public, from PEM. */
export async function readKey(pem: string, name: string): Promise<UpdateKey> {
  const [, kind, body] =
    /-----BEGIN (PRIVATE|PUBLIC) KEY-----([A-Za-z0-9+/=\s]+)-----END \1 KEY-----/.exec(pem) ?? [];
  try {
    const bytes = Uint8Array.fromBase64((body ?? "").replaceAll(/\s/g, ""));
    if (kind === "PUBLIC") {
      await crypto.subtle.importKey("spki", bytes, "Ed25519", false, ["verify"]);
      return { publicKey: pemOf("PUBLIC", bytes), privateKey: null };
    }
    const privateKey = await crypto.subtle.importKey("pkcs8", bytes, "Ed25519", true, ["sign"]);
    const { x } = await crypto.subtle.exportKey("jwk", privateKey);
    const point = Uint8Array.fromBase64(x!, { alphabet: "base64url" });
    return {
      publicKey: pemOf("PUBLIC", new Uint8Array([...SPKI_HEAD, ...point])),
      privateKey,
    };
  } catch (error) {
    throw new SyntaxError(
      `Cannot read the update key "${name}": it is no Ed25519 key in PEM form; make one with "openssl genpkey -algorithm ed25519"`,
      { cause: error },
    );
  }
}

/** The text of the signature's file for the system at `path`. */
export async function signSystem(
  path: string,
  options: { version: string; key: CryptoKey },
): Promise<string> {
  const file = await Deno.readFile(path);
  const facts: SystemFacts = {
    version: options.version,
    bytes: file.length,
    sha256: new Uint8Array(await crypto.subtle.digest("SHA-256", file)).toHex(),
  };
  const signature = await crypto.subtle.sign("Ed25519", options.key, statementOf(facts));
  return formatSigned({ ...facts, signature: new Uint8Array(signature) });
}

async function makeKey(path: string): Promise<void> {
  progress(`making a key for updates, ${path}: it is for trying things out`);
  const pair = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const bytes = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
  await Deno.writeTextFile(path, pemOf("PRIVATE", bytes), { mode: 0o600, createNew: true });
}

function pemOf(kind: "PRIVATE" | "PUBLIC", bytes: Uint8Array): string {
  const lines = bytes.toBase64().match(/.{1,64}/g)!.join("\n");
  return `-----BEGIN ${kind} KEY-----\n${lines}\n-----END ${kind} KEY-----\n`;
}
