-- The names of the tests that failed in a run. Runs of a red project fail the same tests again and again, so they share
-- a row.
CREATE TABLE failing_tests (
    digest TEXT PRIMARY KEY,
    -- JSON: a sorted list
    names  TEXT NOT NULL
);
ALTER TABLE run ADD COLUMN cell_failing TEXT REFERENCES failing_tests (digest);

-- opening the store computes these cells again
UPDATE run SET cell_ended = NULL WHERE cell_failed_tests > 0;

-- leads from a date to the revision of a branch
CREATE INDEX revision_listed ON revision (branch_id, listed_at, id);

-- what the recipe in force says about the project, as JSON; pages choose projects by it
ALTER TABLE project ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
