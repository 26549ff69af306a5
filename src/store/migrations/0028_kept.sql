-- Ended tokens and old entries of the audit log are removed, and found without a look at all of them.
CREATE INDEX access_token_expires ON access_token (expires_at);
CREATE INDEX access_token_revoked ON access_token (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX audit_entry_at ON audit_entry (at);
