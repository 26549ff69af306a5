-- Registered hosts. Of a token only the SHA-256 is kept: it is 256 bits of chance, which no list of words
-- finds, so a slow digest would protect nothing more and make each call slow.
CREATE TABLE host (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE CHECK (name <> ''),
    owner    TEXT NOT NULL,
    token    TEXT UNIQUE,
    token_at BIGINT,
    builds   BIGINT NOT NULL CHECK (builds IN (0, 1)),
    state    TEXT NOT NULL CHECK (state IN ('active', 'draining', 'quarantined', 'removed')),
    added_at BIGINT NOT NULL,
    seen_at  BIGINT,
    offer    TEXT,
    CHECK (state <> 'removed' OR token IS NULL),
    CHECK ((token IS NULL) = (token_at IS NULL))
);
CREATE INDEX attempt_host ON attempt (host, started_at DESC);
