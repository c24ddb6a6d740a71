/**
 * Public keys of SSH, as a line of a file such as `id_ed25519.pub` has them.
 *
 * @module
 */
import * as z from "zod";
import { parsePublicKey } from "./public_key_parts.ts";

/** The schema of such a line, of so many characters at most. */
export function publicKey(mostCharacters: number): z.ZodString {
  return z.string().max(mostCharacters)
    .regex(/^[\x20-\x7e]*$/, "must be one line of ASCII")
    .refine(
      (line) => parsePublicKey(line) !== null,
      "must be a public key, as in a file such as id_ed25519.pub",
    );
}
