/**
 * Guests' files on stores, for tests of what stands on them.
 *
 * @module
 */
import { SharedFiles } from "../shared/files.ts";
import { type StoreOption, Stores } from "../shared/stores.ts";
import { openDatabase } from "../store/database.ts";
import { SharedFileStore } from "../store/shared_files.ts";

/** With a database of its own, and with these stores once they are looked at. */
export function sharedFiles(stores: readonly StoreOption[] = []): SharedFiles {
  const table = new SharedFileStore(openDatabase(":memory:"));
  const log = () => {};
  return new SharedFiles(new Stores(stores, { table, log }), { table, log });
}
