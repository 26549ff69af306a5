-- The page of a run finds the job that resolved its dependencies again.
CREATE INDEX job_refresh ON job (created_at) WHERE lock_of = 'now' AND investigation_id IS NULL;
