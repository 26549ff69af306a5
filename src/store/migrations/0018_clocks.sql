-- How far the host's clock is ahead of the coordinator's, in milliseconds, as of its last call.
ALTER TABLE host ADD COLUMN clock_offset_ms BIGINT;
-- The same when the attempt began. The times in its log are by the host's clock.
ALTER TABLE attempt ADD COLUMN clock_offset_ms BIGINT;
