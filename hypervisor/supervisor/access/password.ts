/**
 * The administrator's password as it is kept: Argon2id with a random salt, its parameters beside it
 * so that a later release can raise them and still check old ones.
 *
 * @module
 */
import { decodeBase64Url, encodeBase64Url } from "@std/encoding";
import { sameSecret } from "./secrets.ts";

/** Costs of a hash: memory in KiB, and passes over it. */
export interface Argon2Costs {
  memory: number;
  passes: number;
}

export const ARGON2_COSTS: Argon2Costs = { memory: 32 * 1024, passes: 2 };

const SALT_BYTES = 16;
const HASH_BITS = 256;
const FORMAT = /^argon2id\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=1\$([\w-]{22})\$([\w-]{43})$/;

// A hash takes tens of MiB for a moment: one at a time, however many ask.
let queue: Promise<unknown> = Promise.resolve();

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const turn = queue.then(work, work);
  queue = turn.catch(() => {});
  return turn;
}

async function argon2id(password: string, salt: Uint8Array<ArrayBuffer>, costs: Argon2Costs) {
  const secret = new TextEncoder().encode(password.normalize("NFKC"));
  // TypeScript's DOM library does not know Argon2id yet.
  const key = await crypto.subtle.importKey("raw-secret" as "raw", secret, "Argon2id", false, [
    "deriveBits",
  ]);
  const algorithm = { name: "Argon2id", nonce: salt, parallelism: 1, ...costs };
  return encodeBase64Url(await crypto.subtle.deriveBits(algorithm, key, HASH_BITS));
}

/** What to keep of `password`. */
export function hashPassword(
  password: string,
  costs: Argon2Costs = ARGON2_COSTS,
): Promise<string> {
  return inTurn(async () => {
    const salt = crypto.getRandomValues(new Uint8Array(SALT_BYTES));
    const hash = await argon2id(password, salt, costs);
    return `argon2id$m=${costs.memory},t=${costs.passes},p=1$${encodeBase64Url(salt)}$${hash}`;
  });
}

/** Whether `password` is the one of which `kept` was made. */
export async function checkPassword(password: string, kept: string): Promise<boolean> {
  const match = FORMAT.exec(kept);
  if (match === null) {
    throw new SyntaxError("Cannot check a password: what was kept of it is not an Argon2id hash");
  }
  const [, memory, passes, salt, hash] = match;
  return await inTurn(async () => {
    const costs = { memory: Number(memory), passes: Number(passes) };
    return sameSecret(await argon2id(password, decodeBase64Url(salt), costs), hash);
  });
}

/** Whether a text is what {@linkcode hashPassword} makes. */
export function isPasswordHash(text: string): boolean {
  return FORMAT.test(text);
}
