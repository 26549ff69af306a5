-- Who an account is for an identity provider (OpenID Connect).
CREATE TABLE identity (
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES account (id),
    linked_at  BIGINT NOT NULL,
    used_at    BIGINT,
    PRIMARY KEY (issuer, subject),
    UNIQUE (account_id, issuer)
);

-- Accounts that were made lately are counted.
CREATE INDEX identity_linked ON identity (linked_at);

-- Whether the token only stands for a login by an identity. Nobody has its secret.
ALTER TABLE access_token ADD COLUMN login BIGINT NOT NULL DEFAULT 0 CHECK (login IN (0, 1));
CREATE INDEX account_mail ON account (LOWER(mail));
