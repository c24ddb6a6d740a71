/**
 * The settings of each system on this host. A newer system begins with those of before; who goes back
 * to an older one finds them as that one left them.
 *
 * @module
 */
import { dirname, removeIfThere, writeFileDurably } from "../../hypervisor/supervisor/durable.ts";
import type { SystemName } from "../slots/boot_state.ts";

const KEY = /^(image|a|b|other)-[0-9A-Za-z.-]{1,64}$/;

/** A system's name for its settings: another version in its place has settings of its own. */
export function systemKey(system: SystemName | null, version: string): string {
  const key = `${system ?? "other"}-${version}`;
  return KEY.test(key) ? key : "other-unknown";
}

/** Whose the kept settings are; null where they do not say. */
export function ownerOf(text: string): string | null {
  try {
    const owner = JSON.parse(text)?.system;
    return typeof owner === "string" && KEY.test(owner) ? owner : null;
  } catch {
    return null;
  }
}

/**
 * Puts the settings at `path` right for a system, and keeps those of the one that ran before. A cut at
 * any moment leaves what the next start makes the same of.
 */
export function changeOwner(path: string, key: string): void {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const owner = ownerOf(text);
  if (owner === null || owner === key) return;
  let before: string | null = null;
  try {
    before = Deno.readTextFileSync(copyOf(path, key));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  // Back to one that ran before: what the newer one made of its settings is no use to it.
  if (before !== null) writeFileDurably(path, before);
  else writeFileDurably(copyOf(path, owner), text);
}

/** Forgets the settings of a system that is to be written over. */
export function forgetCopies(path: string, system: SystemName): void {
  const folder = dirname(path);
  const start = `${path.slice(folder.length + 1)}.of-${system}-`;
  let names: string[];
  try {
    names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  for (const name of names) if (name.startsWith(start)) removeIfThere(`${folder}/${name}`);
}

function copyOf(path: string, key: string): string {
  return `${path}.of-${key}`;
}
