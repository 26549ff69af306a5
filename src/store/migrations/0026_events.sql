-- What happened, for those who follow it. `number` is the cursor of readers: it is given after the change was committed, in the order in
-- which changes became visible, so that no reader passes over one that a slow transaction wrote.
CREATE TABLE event (
    id      TEXT PRIMARY KEY,
    number  BIGINT UNIQUE,
    at      BIGINT NOT NULL,
    kind    TEXT NOT NULL CHECK (kind IN ('run.finished', 'incident.opened', 'incident.changed', 'incident.closed', 'revision.seen')),
    -- the id of a run, an incident or a revision
    subject TEXT NOT NULL,
    -- of a run: how many of its attempts had ended. A run that is only compared again is no news
    round   BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX event_run ON event (subject, round) WHERE kind = 'run.finished';
CREATE INDEX event_unnumbered ON event (id) WHERE number IS NULL;

-- The last number. Its row is locked while events get theirs, so that several coordinators give each number once.
CREATE TABLE event_counter (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    last BIGINT NOT NULL
);
INSERT INTO event_counter (id, last) VALUES (1, 0);
