-- Since when the results of a host count without being repeated. NULL: it is new, unless it may build images.
ALTER TABLE host ADD COLUMN proven_at BIGINT;
UPDATE host SET proven_at = added_at;
-- How many repetitions of its results a person has forgiven the host by resuming it.
ALTER TABLE host ADD COLUMN repeats_forgiven BIGINT NOT NULL DEFAULT 0;
-- What became of the first results of a new host. NULL: the result needs no repetition.
ALTER TABLE attempt ADD COLUMN repetition TEXT
    CHECK (repetition IN ('awaited', 'agreed', 'disagreed', 'no_host', 'unrepeated'));
-- The job that repeats it on another host.
ALTER TABLE attempt ADD COLUMN repeat_job_id TEXT REFERENCES job (id);
-- Few results of a host are repeated. Of a host that is alone, all may be `no_host`.
CREATE INDEX attempt_repetition ON attempt (host, started_at) WHERE repetition <> 'no_host';
CREATE INDEX attempt_no_host ON attempt (host) WHERE repetition = 'no_host';
CREATE INDEX attempt_awaited ON attempt (repeat_job_id) WHERE repetition = 'awaited';
