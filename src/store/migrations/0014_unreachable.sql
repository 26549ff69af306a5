-- Addresses of sources that did not answer, until one of their runs was fetched again. They hold no login.
CREATE TABLE unreachable_source (
    address  TEXT PRIMARY KEY,
    -- waits in a row that ended without an answer
    failures BIGINT NOT NULL,
    -- jobs that need the address wait until then
    until    BIGINT NOT NULL
);
