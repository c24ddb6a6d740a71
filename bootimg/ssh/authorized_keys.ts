/**
 * The file by which Debian's small SSH server, dropbear, knows who may log in.
 *
 * @module
 */
import { parsePublicKey } from "../../hypervisor/supervisor/api/public_key_parts.ts";

/** A shell, and nothing that a shell is not needed for. */
const OPTIONS = "no-port-forwarding,no-agent-forwarding,no-X11-forwarding";

/** The file's text. */
export function authorizedKeys(keys: readonly string[]): string {
  return keys.map((key) => `${OPTIONS} ${key}\n`).join("");
}

/** A key's fingerprint, as SSH clients show it. */
export async function fingerprintOf(key: string): Promise<string> {
  const parts = parsePublicKey(key);
  if (parts === null) throw new TypeError(`Cannot tell the fingerprint of "${key}": it is no key`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", parts.bytes));
  return `SHA256:${digest.toBase64({ omitPadding: true })}`;
}

/** The public key out of what `dropbearkey -y` prints. */
export function publicKeyIn(printed: string): string {
  const line = printed.split("\n").map((it) => it.trim()).find((it) => parsePublicKey(it) !== null);
  if (line === undefined) {
    throw new SyntaxError(`Cannot read the host's key: dropbearkey printed "${printed.trim()}"`);
  }
  // The comment is of who made it, which is root on any host.
  return line.split(" ").slice(0, 2).join(" ");
}
