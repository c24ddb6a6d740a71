/**
 * The steps by which the database came to its present shape. A step that was ever released is never
 * changed: another is added below it.
 *
 * A host may go back to the release before, with the data of the newer one. So a step had better only add:
 * tables, and columns that have a default, which what is there does not have to know of.
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
  // A guest's one disk and one card become the first of several, under the guest's own id: their serial
  // number and the name of their tap, which are made from it, stay the same.
  `
  ALTER TABLE guests RENAME TO guests_before;
  CREATE TABLE guests (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    cpus INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    cpu TEXT NOT NULL,
    memory TEXT NOT NULL,
    kernel TEXT NOT NULL,
    initrd TEXT,
    cmdline TEXT NOT NULL,
    hotplug_ports INTEGER NOT NULL,
    agent INTEGER NOT NULL CHECK (agent IN (0, 1)),
    autostart INTEGER NOT NULL CHECK (autostart IN (0, 1)),
    created_at TEXT NOT NULL,
    error TEXT
  ) STRICT;
  CREATE TABLE disks (
    id TEXT PRIMARY KEY,
    guest TEXT NOT NULL REFERENCES guests (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    size_mib INTEGER NOT NULL,
    image TEXT,
    settings TEXT NOT NULL,
    UNIQUE (guest, position),
    UNIQUE (guest, name),
    UNIQUE (guest, file)
  ) STRICT;
  CREATE TABLE nets (
    id TEXT PRIMARY KEY,
    guest TEXT NOT NULL REFERENCES guests (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    mac TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL,
    UNIQUE (guest, position)
  ) STRICT;
  INSERT INTO guests
    SELECT id, name, cpus, memory_mib, '{}', '{}', kernel, initrd, cmdline, 2, 1, autostart,
      created_at, error
    FROM guests_before;
  INSERT INTO disks
    SELECT id, id, 0, 'disk', 'disk.img', disk_mib, disk_image, '{}'
    FROM guests_before WHERE disk_mib IS NOT NULL;
  INSERT INTO nets SELECT id, id, 0, mac, '{}' FROM guests_before WHERE network = 1;
  DROP TABLE guests_before;
  `,
  // A disk keeps the serial number that it has had from its id: what a guest goes on from knows it by that.
  `
  ALTER TABLE disks ADD COLUMN serial TEXT NOT NULL DEFAULT '';
  UPDATE disks SET serial = substr(id, -20);
  CREATE TABLE snapshots (
    id TEXT PRIMARY KEY,
    guest TEXT NOT NULL REFERENCES guests (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    parent TEXT REFERENCES snapshots (id) ON DELETE SET NULL,
    template INTEGER NOT NULL CHECK (template IN (0, 1)),
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    pause_ms REAL,
    created_at TEXT NOT NULL,
    record TEXT NOT NULL,
    run TEXT,
    UNIQUE (guest, name)
  ) STRICT;
  ALTER TABLE guests ADD COLUMN current_snapshot TEXT REFERENCES snapshots (id) ON DELETE SET NULL;
  ALTER TABLE guests ADD COLUMN resumes_from TEXT REFERENCES snapshots (id) ON DELETE SET NULL;
  `,
  // Other hosts, and guests that move there and come from there.
  `
  CREATE TABLE peers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    certificate TEXT NOT NULL,
    paired_at TEXT NOT NULL
  ) STRICT;
  CREATE TABLE departures (
    move TEXT PRIMARY KEY,
    guest TEXT NOT NULL,
    peer TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('begun', 'kept', 'giving', 'given'))
  ) STRICT;
  CREATE TABLE arrivals (
    move TEXT PRIMARY KEY,
    guest TEXT NOT NULL,
    peer TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sealed', 'claimed')),
    at INTEGER NOT NULL
  ) STRICT;
  `,
  // Moves of which somebody said how they ended: what the guest was called, and by what a host that was
  // forgotten is known again.
  `
  ALTER TABLE departures RENAME TO departures_before;
  CREATE TABLE departures (
    move TEXT PRIMARY KEY,
    guest TEXT NOT NULL,
    peer TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('begun', 'kept', 'giving', 'given', 'lost', 'aside')),
    name TEXT NOT NULL,
    fingerprint TEXT
  ) STRICT;
  INSERT INTO departures
    SELECT move, guest, peer, state,
      coalesce((SELECT name FROM guests WHERE id = departures_before.guest), ''), NULL
    FROM departures_before;
  DROP TABLE departures_before;
  ALTER TABLE arrivals RENAME TO arrivals_before;
  CREATE TABLE arrivals (
    move TEXT PRIMARY KEY,
    guest TEXT NOT NULL,
    peer TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sealed', 'claimed', 'lost', 'dropped', 'aside')),
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    fingerprint TEXT
  ) STRICT;
  INSERT INTO arrivals
    SELECT move, guest, peer, state, at,
      coalesce((SELECT name FROM guests WHERE id = arrivals_before.guest), ''), NULL
    FROM arrivals_before;
  DROP TABLE arrivals_before;
  `,
  // Snapshots of guests whose file systems were frozen.
  `
  ALTER TABLE snapshots ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0 CHECK (frozen IN (0, 1));
  `,
  // Where guests went on to that had come from another host, should that one say that they are its own.
  `
  ALTER TABLE arrivals ADD COLUMN went_to TEXT;
  `,
  // What a guest's system is told by cloud-init; those of before are told nothing.
  `
  ALTER TABLE guests ADD COLUMN cloud_init TEXT;
  `,
  // Disks on storage that other hosts see too: by what the storage is known, and what of guests' files there
  // goes unless a guest has it.
  `
  ALTER TABLE disks ADD COLUMN store TEXT;
  CREATE TABLE stores (
    name TEXT PRIMARY KEY,
    token TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE doomed_files (
    store TEXT NOT NULL,
    guest TEXT NOT NULL,
    path TEXT NOT NULL,
    PRIMARY KEY (store, guest, path)
  ) STRICT, WITHOUT ROWID;
  `,
  // What becomes of guests when the host ends, and those that were saved then: what they ran with, and
  // whether their next start goes on from there.
  `
  ALTER TABLE guests ADD COLUMN at_shutdown TEXT CHECK (at_shutdown IN ('save', 'shutdown'));
  CREATE TABLE saves (
    guest TEXT PRIMARY KEY REFERENCES guests (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    run TEXT NOT NULL,
    is_next INTEGER NOT NULL CHECK (is_next IN (0, 1))
  ) STRICT, WITHOUT ROWID;
  `,
  // In what order guests start with the host.
  `
  ALTER TABLE guests ADD COLUMN start_order TEXT;
  `,
];

/**
 * How many of these a release has to know to work with the present schema: from it on, steps have only added.
 * A step that does more sets it to its own number.
 */
export const READABLE_FROM = 10;
