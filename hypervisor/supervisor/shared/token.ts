/**
 * By what hosts know that they see the same storage, whatever each calls it: a file at its top with a random
 * token, made once.
 *
 * @module
 */
import { encodeHex } from "@std/encoding";
import { join } from "@std/path";
import { removeIfThere, syncDirectory } from "../durable.ts";

const NAME = ".denovisor-store";
/** What one looks like. */
export const TOKEN = /^[0-9a-f]{32}$/;
/** More than a token and the end of its line. */
const MOST_BYTES = 64;

/** The token that lies in a directory; null where none does. */
export async function readToken(directory: string): Promise<string | null> {
  const path = join(directory, NAME);
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  using open = file;
  const bytes = new Uint8Array(MOST_BYTES);
  const count = await open.read(bytes) ?? 0;
  const token = new TextDecoder().decode(bytes.subarray(0, count)).trimEnd();
  if (!TOKEN.test(token)) throw new Error(`"${path}" has no token in it. Remove it`);
  return token;
}

/** Puts one into a directory, unless another host has just done so; the one that is there then. */
export async function makeToken(directory: string): Promise<string> {
  const temporary = join(directory, `${NAME}-${crypto.randomUUID()}`);
  try {
    {
      using file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 });
      const token = encodeHex(crypto.getRandomValues(new Uint8Array(16)));
      await file.write(new TextEncoder().encode(`${token}\n`));
      await file.sync();
    }
    // Of two hosts, one is first, and neither finds a half.
    await Deno.link(temporary, join(directory, NAME)).catch((error) => {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    });
    syncDirectory(directory);
  } finally {
    removeIfThere(temporary);
  }
  const token = await readToken(directory);
  if (token === null) throw new Error(`"${directory}" does not keep what is written there`);
  return token;
}
