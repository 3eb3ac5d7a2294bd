-- Who asked for what, and how it ended. `at` is domain time, by which lists are read; `recorded` is
-- the machine's, by which rows are forgotten: a simulated clock can neither keep nor drop them.
-- `place` is the subscription that the event is about, empty when it is about none.

CREATE TABLE events (
    place    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    recorded INTEGER NOT NULL,
    record   TEXT    NOT NULL,
    PRIMARY KEY (place, at, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_age ON events (recorded);
