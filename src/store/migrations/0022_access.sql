-- People and programs that may change something.
CREATE TABLE account (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    mail       TEXT NOT NULL,
    roles      TEXT NOT NULL,
    disabled   BIGINT NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created_at BIGINT NOT NULL
);

-- The secret itself is stored nowhere.
CREATE TABLE access_token (
    id          TEXT PRIMARY KEY,
    account_id  TEXT NOT NULL REFERENCES account (id),
    name        TEXT NOT NULL,
    digest      TEXT NOT NULL UNIQUE,
    permissions TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT,
    revoked_at  BIGINT
);
CREATE INDEX access_token_account ON access_token (account_id, id);

-- A browser that is logged in. It ends with the token by which it began.
CREATE TABLE session (
    digest      TEXT PRIMARY KEY,
    account_id  TEXT NOT NULL REFERENCES account (id),
    token_id    TEXT NOT NULL REFERENCES access_token (id),
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX session_expires ON session (expires_at);
CREATE INDEX session_account ON session (account_id);
CREATE INDEX session_token ON session (token_id);

-- Every change that a person made. `before` and `after` are JSON.
CREATE TABLE audit_entry (
    id      TEXT PRIMARY KEY,
    at      BIGINT NOT NULL,
    account TEXT NOT NULL,
    token   TEXT NOT NULL,
    address TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    before  TEXT NOT NULL,
    after   TEXT NOT NULL
);
CREATE INDEX audit_entry_subject ON audit_entry (subject, id);
