-- What the ended attempts of a run show together (its cell), so that no page reads their reports.
ALTER TABLE run ADD COLUMN cell_attempts BIGINT;
ALTER TABLE run ADD COLUMN cell_state TEXT;
ALTER TABLE run ADD COLUMN cell_attempt_id TEXT;
-- JSON of the outcome, with a shortened reason.
ALTER TABLE run ADD COLUMN cell_outcome TEXT;
ALTER TABLE run ADD COLUMN cell_ms BIGINT;
ALTER TABLE run ADD COLUMN cell_failed_in TEXT;
ALTER TABLE run ADD COLUMN cell_limit TEXT;
ALTER TABLE run ADD COLUMN cell_tests BIGINT;
ALTER TABLE run ADD COLUMN cell_failed_tests BIGINT;
ALTER TABLE run ADD COLUMN cell_first_error TEXT;
-- The value of `ended` for which the cell was written. A program of an earlier version counts `ended` and writes no
-- cell; opening the store computes the cells that are missing.
ALTER TABLE run ADD COLUMN cell_ended BIGINT;
CREATE INDEX run_without_cell ON run (id) WHERE cell_ended IS NULL OR cell_ended < ended;
-- Leased jobs are counted for the head of every page.
CREATE INDEX job_leased ON job (id) WHERE state = 'leased';
-- Most jobs build no image, and a column that is mostly NULL makes a plan avoid its index.
DROP INDEX job_image;
CREATE INDEX job_image ON job (image_id) WHERE image_id IS NOT NULL;
DROP INDEX job_run;
CREATE INDEX job_run ON job (run_id) WHERE run_id IS NOT NULL;
-- For the newest investigations.
CREATE INDEX investigation_opened ON investigation (opened_at, id);
