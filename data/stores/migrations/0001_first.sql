-- What is looked for has a column of its own; the rest of a row is one packed record (data/stores/sqlite_rows.py).
-- The two tables of decisions and visitors have row ids because their rows are large: an index then stays small.

CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value NOT NULL
) WITHOUT ROWID;

-- Makes the hashes of erased visitors worthless to whoever guesses ids without having this file.
INSERT INTO meta (name, value) VALUES ('salt', randomblob(32));

-- Written by every health check.
INSERT INTO meta (name, value) VALUES ('checks', 0);

CREATE TABLE visitors (
    visitor_id TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    state BLOB NOT NULL,
    merged_into TEXT
);

CREATE INDEX visitors_merged ON visitors (merged_into) WHERE merged_into IS NOT NULL;

CREATE TABLE decisions (
    decision_id TEXT PRIMARY KEY NOT NULL,
    visitor_id TEXT NOT NULL,
    journey TEXT NOT NULL,
    ask_id TEXT,
    status INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    shown_at INTEGER,
    answered_at INTEGER,
    record BLOB NOT NULL,
    request_digest BLOB NOT NULL,
    audit BLOB NOT NULL
);

-- Newest first is how an answer without a decision id is matched: by the time the ask was seen.
CREATE INDEX decisions_by_visitor ON decisions (visitor_id, coalesce(shown_at, at));

CREATE TABLE events (
    event_key TEXT PRIMARY KEY NOT NULL,
    visitor_id TEXT NOT NULL,
    journey TEXT NOT NULL,
    from_id TEXT,
    record BLOB NOT NULL
) WITHOUT ROWID;

CREATE INDEX events_by_visitor ON events (visitor_id);

CREATE INDEX events_by_from ON events (from_id) WHERE from_id IS NOT NULL;

CREATE TABLE tombstones (
    digest BLOB PRIMARY KEY NOT NULL,
    erased_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE api_keys (
    key_id TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    origin TEXT,
    revoked_at INTEGER NOT NULL
) WITHOUT ROWID;
