/**
 * The steps by which the database came to its present shape. A step that was ever released is never
 * changed: another is added below it.
 *
 * @module
 */

/** `MIGRATIONS[n]` takes a database from version n to version n + 1. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE guests (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    cpus INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    kernel TEXT NOT NULL,
    initrd TEXT,
    cmdline TEXT NOT NULL,
    disk_mib INTEGER,
    disk_image TEXT,
    network INTEGER NOT NULL CHECK (network IN (0, 1)),
    mac TEXT NOT NULL UNIQUE,
    autostart INTEGER NOT NULL CHECK (autostart IN (0, 1)),
    created_at TEXT NOT NULL,
    error TEXT
  ) STRICT;
  CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
];
