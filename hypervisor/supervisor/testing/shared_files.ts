/**
 * Guests' files on stores, for tests of what stands on them.
 *
 * @module
 */
import { SharedFiles } from "../shared/files.ts";
import { type StoreOption, Stores } from "../shared/stores.ts";
import { openDatabase } from "../store/database.ts";
import { SharedFileStore } from "../store/shared_files.ts";

/** With a database of its own, and with these stores once they are looked at; closed where there are some. */
export function sharedFiles(
  options: readonly StoreOption[] = [],
): SharedFiles & { close(): void } {
  const table = new SharedFileStore(openDatabase(":memory:"));
  const log = () => {};
  const stores = new Stores(options, { table, log });
  return Object.assign(new SharedFiles(stores, { table, log }), { close: () => stores.close() });
}
