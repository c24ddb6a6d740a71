/**
 * Who this host is to others: a key that never leaves it, and its certificate, made once.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { decodeBase64, encodeHex } from "@std/encoding";
import { join } from "@std/path";
import { writeFileDurably } from "../durable.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const text = new TextEncoder();

/** This host, as it proves to others that it is. */
export interface HostIdentity {
  /** PEM, PKCS #8. */
  readonly key: string;
  /** PEM. */
  readonly certificate: string;
  /** SHA-256 of the certificate, in hex. */
  readonly fingerprint: string;
  /** Signs a text with the key; in hex. */
  sign(message: string): Promise<string>;
}

/** The identity in `directory`; a new one where there is none. Throws where there is one that is damaged. */
export async function loadIdentity(directory: string): Promise<HostIdentity> {
  const path = join(directory, "identity.pem");
  let pem = readIfThere(path);
  if (pem === null) {
    // Only a host's first start needs what makes certificates.
    const { makeCertificate } = await import("./certificate.ts");
    const { key, certificate } = await makeCertificate();
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
    // One file, so that there is never one without the other.
    pem = key + certificate;
    writeFileDurably(path, pem, { mode: 0o600 });
  }
  const [key, certificate] = [block(pem, "PRIVATE KEY"), block(pem, "CERTIFICATE")];
  if (key === null || certificate === null) {
    throw new SyntaxError(
      `Cannot read this host's identity "${path}": it has no key or certificate`,
    );
  }
  const privateKey = await crypto.subtle.importKey("pkcs8", der(key), ALGORITHM, false, ["sign"]);
  const identity: HostIdentity = {
    key,
    certificate,
    fingerprint: await fingerprintOf(certificate),
    sign: async (message) =>
      encodeHex(await crypto.subtle.sign(ALGORITHM, privateKey, text.encode(message))),
  };
  // Made from each other, or nobody would believe this host.
  if (!await isSigned("probe", { by: certificate, signature: await identity.sign("probe") })) {
    throw new SyntaxError(`Cannot use this host's identity "${path}": its key is another's`);
  }
  return identity;
}

/** SHA-256 of a certificate in PEM, in hex. */
export async function fingerprintOf(certificate: string): Promise<string> {
  return encodeHex(await crypto.subtle.digest("SHA-256", der(certificate)));
}

/** Whether the key of a certificate in PEM has made a signature (in hex) of a text. */
export async function isSigned(
  message: string,
  { by, signature }: { by: string; signature: string },
): Promise<boolean> {
  const spki = new X509Certificate(by).publicKey.export({ type: "spki", format: "der" });
  const key = await crypto.subtle.importKey("spki", new Uint8Array(spki), ALGORITHM, false, [
    "verify",
  ]);
  const bytes = Uint8Array.fromHex(signature);
  return await crypto.subtle.verify(ALGORITHM, key, bytes, text.encode(message));
}

/** The one block of PEM with this label, and nothing else; null where there is none. */
export function block(pem: string, label: string): string | null {
  const match = new RegExp(
    `-----BEGIN ${label}-----\\n([A-Za-z0-9+/=\\n]+)-----END ${label}-----\\n?`,
  ).exec(pem);
  return match === null ? null : `${match[0].trimEnd()}\n`;
}

function der(pem: string): Uint8Array<ArrayBuffer> {
  return decodeBase64(pem.replace(/-----[^-]+-----|\s/g, ""));
}

function readIfThere(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
