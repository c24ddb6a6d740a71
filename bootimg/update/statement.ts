/**
 * What the signature of an update says: which file of which version is Denovisor's. The signature is a
 * file of its own beside the system's, `denovisor-VERSION.efi.sig`.
 *
 * @module
 */

/** A system, as its signature tells of it. */
export interface SystemFacts {
  version: string;
  /** The size of its file. */
  bytes: number;
  sha256: string;
}

/** A system with the signature of what is said of it. */
export interface Signed extends SystemFacts {
  /** Ed25519's 64 bytes. */
  signature: Uint8Array<ArrayBuffer>;
}

/** A signature's file has no more bytes. */
export const MOST_SIGNATURE_BYTES = 4096;
/** No system is larger than a slot on the disk. */
export const MOST_SYSTEM_BYTES = 256 * 1024 * 1024;
const FORM = 1;
const ALGORITHM = "Ed25519";

/** The bytes that are signed. */
export function statementOf({ version, bytes, sha256 }: SystemFacts): Uint8Array<ArrayBuffer> {
  // No field can hold a line's end, so that no two systems have the same statement.
  return new TextEncoder().encode(`denovisor system ${FORM}\n${version}\n${bytes}\n${sha256}\n`);
}

/** The text of a signature's file. */
export function formatSigned(signed: Signed): string {
  const { version, bytes, sha256, signature } = signed;
  return JSON.stringify(
    {
      denovisor: FORM,
      algorithm: ALGORITHM,
      version,
      bytes,
      sha256,
      signature: signature.toBase64(),
    },
    null,
    2,
  ) + "\n";
}

/** Reads a signature's file. Nothing of it is to be believed before the signature was verified. */
export function parseSigned(text: string): Signed {
  const bad = (why: string) => new SyntaxError(`Cannot read the signature of an update: ${why}`);
  if (text.length > MOST_SIGNATURE_BYTES) {
    throw bad(`it has more than ${MOST_SIGNATURE_BYTES} bytes`);
  }
  let json: Record<string, unknown> | null;
  try {
    json = JSON.parse(text);
  } catch {
    throw bad("it is not JSON");
  }
  if (typeof json !== "object" || json === null) throw bad("it is not an object");
  if (json.denovisor !== FORM || json.algorithm !== ALGORITHM) {
    throw bad(`it is not of the form ${FORM} with ${ALGORITHM}; a newer version may know it`);
  }
  const { version, bytes, sha256, signature } = json;
  if (typeof version !== "string" || !isVersion(version)) throw bad("its version is none");
  if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes <= 0) {
    throw bad("its size is no number of bytes");
  }
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw bad("its digest is no SHA-256");
  }
  if (typeof signature !== "string" || !/^[A-Za-z0-9+/]{86}==$/.test(signature)) {
    throw bad("its signature does not have the 64 bytes of Ed25519");
  }
  return { version, bytes, sha256, signature: Uint8Array.fromBase64(signature) };
}

const VERSION = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9a-z]+(?:\.[0-9a-z]+)*))?$/;

/** Whether the text is a version, such as "1.2.3" or "1.2.3-rc.1". */
export function isVersion(text: string): boolean {
  return text.length <= 64 && VERSION.test(text);
}

/** Below zero if `a` is older than `b`; by the rules of semver.org. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => {
    const match = isVersion(text) ? VERSION.exec(text) : null;
    if (!match) throw new SyntaxError(`Cannot compare versions: "${text}" is none`);
    return match;
  });
  for (const part of [1, 2, 3]) {
    const difference = Number(left[part]) - Number(right[part]);
    if (difference !== 0) return difference;
  }
  // What comes before a version is older than it.
  if (left[4] === undefined || right[4] === undefined) {
    return Number(left[4] === undefined) - Number(right[4] === undefined);
  }
  return compareBefore(left[4].split("."), right[4].split("."));
}

function compareBefore(left: readonly string[], right: readonly string[]): number {
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [a, b] = [left[i], right[i]];
    if (a === b) continue;
    const [isNumber, isOther] = [a, b].map((it) => /^\d+$/.test(it));
    if (isNumber && isOther) {
      const difference = Number(a) - Number(b);
      if (difference !== 0) return difference;
    } else if (isNumber !== isOther) return isNumber ? -1 : 1;
    else return a < b ? -1 : 1;
  }
  return left.length - right.length;
}
