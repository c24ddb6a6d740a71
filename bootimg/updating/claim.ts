/**
 * What a system says of itself that nobody signed, or somebody else: for who stands before the host and
 * allows it all the same. It must still be whole.
 *
 * @module
 */
import { systemVersion } from "../slots/unified_kernel.ts";
import { MOST_SYSTEM_BYTES, parseSigned, type SystemFacts } from "../update/statement.ts";
import { checkWhole } from "../update/verify.ts";

/** The facts of the system at `efi`; `signature` is the text of a signature's file, or null. */
export async function claimedFacts(efi: string, signature: string | null): Promise<SystemFacts> {
  if (signature !== null) {
    const { version, bytes, sha256 } = parseSigned(signature);
    const facts = { version, bytes, sha256 };
    await checkWhole(efi, facts);
    return facts;
  }
  const version = await systemVersion(efi);
  const { size: bytes } = await Deno.stat(efi);
  if (bytes > MOST_SYSTEM_BYTES) {
    throw new RangeError(`Cannot take version ${version} as an update: it is larger than a slot`);
  }
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(efi));
  return { version, bytes, sha256: new Uint8Array(digest).toHex() };
}
