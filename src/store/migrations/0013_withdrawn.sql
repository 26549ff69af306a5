-- The recipe of the run was changed or removed before its job began, so that the job was cancelled. `unplanned`: a run by the recipe
-- in force is to take its place; `planned`: that was planned.
ALTER TABLE run ADD COLUMN withdrawn TEXT CHECK (withdrawn IN ('unplanned', 'planned'));
CREATE INDEX run_withdrawn ON run (id) WHERE withdrawn = 'unplanned';
