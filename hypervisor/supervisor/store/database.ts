/**
 * The database on the data partition: opened, brought to the present schema, and closed.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { MIGRATIONS, READABLE_FROM } from "./migrations.ts";

export type Database = DatabaseSync;

/**
 * Opens `path`, creating and migrating it as needed. Refuses one that a newer version wrote, unless that one
 * said that this can work with it.
 */
export function openDatabase(
  path: string,
  migrations: readonly string[] = MIGRATIONS,
  { readableFrom = READABLE_FROM } = {},
): Database {
  const database = new DatabaseSync(path);
  try {
    database.exec("PRAGMA journal_mode = WAL");
    // An acknowledged change survives a power cut.
    database.exec("PRAGMA synchronous = FULL");
    database.exec("PRAGMA foreign_keys = ON");
    database.exec("PRAGMA trusted_schema = OFF");
    database.exec("PRAGMA busy_timeout = 5000");
    migrate(database, { path, migrations, readableFrom });
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** The number of the schema that the database has. */
export function schemaVersion(database: Database): number {
  return Number(database.prepare("PRAGMA user_version").get()!.user_version);
}

/** The version of the oldest supervisor that can work with it; 0 where nobody has said. */
function oldestReader(database: Database): number {
  // No table is needed for it, and nobody else uses that number.
  return Number(database.prepare("PRAGMA application_id").get()!.application_id);
}

function migrate(
  database: Database,
  { path, migrations, readableFrom }: {
    path: string;
    migrations: readonly string[];
    readableFrom: number;
  },
) {
  const found = schemaVersion(database);
  if (found > migrations.length) {
    const oldest = oldestReader(database);
    if (oldest > 0 && oldest <= migrations.length) return;
    throw new RangeError(
      `Cannot open the database "${path}": its schema is version ${found} and this supervisor knows ` +
        `versions up to ${migrations.length}. Start the newer release that wrote it`,
    );
  }
  for (let version = found; version < migrations.length; version++) {
    transaction(database, () => {
      database.exec(migrations[version]);
      database.exec(`PRAGMA user_version = ${version + 1}`);
      database.exec(`PRAGMA application_id = ${readableFrom}`);
    });
  }
}

/** Runs `change` so that all of it happens or none; within another, as a part of that. */
export function transaction<T>(database: Database, change: () => T): T {
  if (database.isTransaction) return change();
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = change();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    // SQLite has done so by itself where a disk was full or did not write, and that is what to tell.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
