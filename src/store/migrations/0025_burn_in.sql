-- The repeated results of a project that agreed in a row, up to the newest one, and when its last repeat was asked for, unless
-- that has ended.
ALTER TABLE project ADD COLUMN agreeing BIGINT NOT NULL DEFAULT 0 CHECK (agreeing >= 0);
ALTER TABLE project ADD COLUMN repeat_asked_at BIGINT;
