-- The newest start of the host's daemon. Another one with the same token is refused: it was replaced.
ALTER TABLE host ADD COLUMN instance TEXT;
