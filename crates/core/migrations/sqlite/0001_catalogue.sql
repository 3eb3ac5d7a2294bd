-- The catalogue. A record is the whole truth of its row; the columns beside it are copies of what
-- queries need, written in the same statement. Ids are lower-case text, instants are nanoseconds
-- since 1970 in UTC. Text compares byte by byte, which scope and page queries rely on.

CREATE TABLE resources (
    key     TEXT    NOT NULL PRIMARY KEY,
    kind    TEXT    NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    record  TEXT    NOT NULL
) STRICT;
CREATE INDEX resources_by_kind ON resources (kind, key);

-- What backup instances name: their disk, policy and snapshot group.
CREATE TABLE instance_refs (
    target   TEXT NOT NULL,
    instance TEXT NOT NULL REFERENCES resources (key) ON DELETE CASCADE,
    PRIMARY KEY (target, instance)
) STRICT, WITHOUT ROWID;
CREATE INDEX instance_refs_by_instance ON instance_refs (instance);

CREATE TABLE claims (
    name   TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE principals (
    object_id TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    record    TEXT NOT NULL
) STRICT;

CREATE TABLE roles (
    id     TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
) STRICT;

CREATE TABLE assignments (
    key       TEXT NOT NULL PRIMARY KEY,
    scope     TEXT NOT NULL,
    role      TEXT NOT NULL,
    principal TEXT NOT NULL,
    record    TEXT NOT NULL,
    UNIQUE (scope, role, principal)
) STRICT;
CREATE INDEX assignments_by_principal ON assignments (principal, key);

CREATE TABLE operations (
    id     TEXT    NOT NULL PRIMARY KEY,
    ended  INTEGER,
    record TEXT    NOT NULL
) STRICT;
CREATE INDEX operations_by_end ON operations (ended);

CREATE TABLE jobs (
    id      TEXT    NOT NULL PRIMARY KEY,
    vault   TEXT    NOT NULL,
    started INTEGER NOT NULL,
    record  TEXT    NOT NULL
) STRICT;
CREATE INDEX jobs_by_vault ON jobs (vault, started, id);

CREATE TABLE points (
    instance TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    time     INTEGER NOT NULL,
    record   TEXT    NOT NULL,
    PRIMARY KEY (instance, key)
) STRICT;
CREATE INDEX points_by_time ON points (instance, time, key);

CREATE TABLE grants (
    id       TEXT NOT NULL PRIMARY KEY,
    resource TEXT NOT NULL,
    record   TEXT NOT NULL
) STRICT;
CREATE INDEX grants_by_resource ON grants (resource, id);

-- A lease is held while lease_until is set; each claim raises the fence.
CREATE TABLE work (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    fence       INTEGER NOT NULL,
    lease_until INTEGER,
    record      TEXT    NOT NULL
) STRICT;

CREATE TABLE work_steps (
    work TEXT NOT NULL REFERENCES work (id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (work, step)
) STRICT;

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
