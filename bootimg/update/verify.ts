/**
 * Whether a file is a system of Denovisor's that may be put in this one's place. What is built into the
 * running system decides: its public key and its version.
 *
 * @module
 */
import { sha256Of } from "../../hypervisor/sys/digest.ts";
import {
  compareVersions,
  MOST_SIGNATURE_BYTES,
  MOST_SYSTEM_BYTES,
  parseSigned,
  statementOf,
  type SystemFacts,
} from "./statement.ts";

/** Where the running system has the public key that updates are signed with. */
export const UPDATE_KEY_FILE = "/app/update.pub";

/** What there is to verify. */
export interface Update {
  /** Path of the system's file. */
  efi: string;
  /** Path of its signature. */
  signature: string;
  /** The public key, as PEM. */
  key: string;
  /** The version that is running; an older one is refused. */
  running: string;
}

/** Returns what is true of the update; throws if it must not be used. */
export async function verifyUpdate(update: Update): Promise<SystemFacts> {
  const facts = await verifySignature(await readSignature(update.signature), update.key);
  refuseOlder(facts, update.running);
  await checkWhole(update.efi, facts);
  return facts;
}

/** Throws unless the file is what is said of it, from its first byte to its last. */
export async function checkWhole(efi: string, facts: SystemFacts): Promise<void> {
  const bad = (why: string) =>
    new Error(`Cannot take version ${facts.version} as an update: "${efi}" ${why}`);
  const { size } = await Deno.stat(efi);
  if (size < facts.bytes) throw bad(`is truncated: ${size} of ${facts.bytes} bytes are there`);
  if (size > facts.bytes) throw bad(`has ${size} bytes, ${facts.bytes} were signed`);
  if (size > MOST_SYSTEM_BYTES) throw bad(`has ${size} bytes, more than a slot`);
  using file = await Deno.open(efi);
  const digest = await sha256Of(file, { position: 0, length: size });
  if (digest !== facts.sha256) throw bad("is not the file that was signed");
}

/** What a signature's text says, once the owner of the key is known to have said it. */
export async function verifySignature(text: string, key: string): Promise<SystemFacts> {
  const { signature, ...facts } = parseSigned(text);
  const isRight = await crypto.subtle.verify(
    "Ed25519",
    await importKey(key),
    signature,
    statementOf(facts),
  );
  if (!isRight) {
    throw new Error(
      `Cannot take version ${facts.version} as an update: it is not signed with this host's update key`,
    );
  }
  return facts;
}

/** Throws if the system is older than the one that is running: what was mended would be broken again. */
export function refuseOlder(facts: SystemFacts, running: string): void {
  if (compareVersions(facts.version, running) >= 0) return;
  throw new Error(
    `Cannot take version ${facts.version} as an update: it is older than ${running}, which is running`,
  );
}

async function readSignature(path: string): Promise<string> {
  using file = await Deno.open(path).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`Cannot take an update: it is not signed; "${path}" is missing`);
  });
  const bytes = new Uint8Array(MOST_SIGNATURE_BYTES + 1);
  let length = 0;
  while (length < bytes.length) {
    const count = await file.read(bytes.subarray(length));
    if (count === null) break;
    length += count;
  }
  return new TextDecoder().decode(bytes.subarray(0, length));
}

async function importKey(pem: string): Promise<CryptoKey> {
  if (pem.trim() === "") {
    throw new Error(
      "Cannot take an update: this system was built without an update key; write an image to the disk that has one (--update-key)",
    );
  }
  const [, body] =
    /-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----/.exec(pem) ??
      [];
  try {
    const bytes = Uint8Array.fromBase64((body ?? "").replaceAll(/\s/g, ""));
    return await crypto.subtle.importKey("spki", bytes, "Ed25519", false, ["verify"]);
  } catch (error) {
    throw new SyntaxError("Cannot read the update key: it is no public Ed25519 key in PEM form", {
      cause: error,
    });
  }
}
