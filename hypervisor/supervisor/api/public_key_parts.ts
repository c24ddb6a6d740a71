/**
 * A public key of SSH taken apart; small enough for a page that does not want the schemas.
 *
 * @module
 */

const KEY_TYPES = [
  "ssh-ed25519",
  "ssh-rsa",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "sk-ssh-ed25519@openssh.com",
  "sk-ecdsa-sha2-nistp256@openssh.com",
];

/** A line's parts. */
export interface KeyParts {
  type: string;
  /** What is encoded in it, which is the key. */
  bytes: Uint8Array<ArrayBuffer>;
  comment: string;
}

/** Reads `TYPE BASE64`, with a comment or without; null if what is encoded is not of that type. */
export function parsePublicKey(line: string): KeyParts | null {
  const [, type, encoded, comment = ""] = /^(\S+) ([A-Za-z0-9+/]+={0,2})( .*)?$/.exec(line) ?? [];
  if (type === undefined || !KEY_TYPES.includes(type)) return null;
  let text: string;
  try {
    text = atob(encoded);
  } catch {
    return null;
  }
  // A text is its length as four bytes, and its letters; more than the type has to follow.
  const begin = `\0\0\0${String.fromCharCode(type.length)}${type}`;
  if (!text.startsWith(begin) || text.length === begin.length) return null;
  const bytes = Uint8Array.from(text, (it) => it.charCodeAt(0));
  return { type, bytes, comment: comment.trim() };
}
