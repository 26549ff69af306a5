-- Tables and columns take the names of docs/glossary.md. No row changes, but for stored words that have a new spelling.

ALTER TABLE inquiry RENAME TO investigation;
-- the investigation that found a merge: this one searches among the revisions that the merge brought
ALTER TABLE investigation RENAME COLUMN within TO parent_id;
-- a person asked for it: it opens no incident
ALTER TABLE investigation RENAME COLUMN by_hand TO manual;
-- until then, its subjects open no other investigation
ALTER TABLE investigation RENAME COLUMN quiet_until TO suppressed_until;
DROP INDEX inquiry_quiet;
DROP INDEX inquiry_open;
DROP INDEX inquiry_within;
DROP INDEX inquiry_about;
CREATE INDEX investigation_suppressed ON investigation (suppressed_until) WHERE suppressed_until IS NOT NULL;
CREATE INDEX investigation_open ON investigation (opened_at) WHERE state = 'open';
CREATE INDEX investigation_parent ON investigation (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX investigation_series ON investigation (branch_id, project, variant, now_seq);

ALTER TABLE breakage RENAME TO regression;
ALTER TABLE regression RENAME COLUMN inquiry_id TO investigation_id;
DROP INDEX breakage_incident;
DROP INDEX breakage_bad;
DROP INDEX breakage_about;
CREATE INDEX regression_incident ON regression (incident_id);
CREATE INDEX regression_bad ON regression (bad_id);
CREATE INDEX regression_series ON regression (branch_id, project, variant);

-- the incident that came back as this one
ALTER TABLE incident RENAME COLUMN again_of TO recurrence_of;
-- who acts on it: CPython fixes, or the projects adapt to an intended change
ALTER TABLE incident RENAME COLUMN put_to TO assigned_to;

ALTER TABLE kept_lock RENAME TO pinned_lock;
-- the version of Python, as `3.14`
ALTER TABLE pinned_lock RENAME COLUMN line TO python;
ALTER TABLE pinned_lock RENAME COLUMN since TO pinned_at;

DROP INDEX job_uses;
DROP INDEX job_wish;
DROP INDEX job_one_open_run;
DROP INDEX job_inquiry;
-- the image that a build makes, or that a run needs
ALTER TABLE job RENAME COLUMN uses TO target_image_id;
-- a host that failed it last; for a while, another host is to have it
ALTER TABLE job RENAME COLUMN avoid TO avoid_host;
-- attempts that ended as `infra` since a person last asked for the job
ALTER TABLE job RENAME COLUMN tries TO infra_attempts;
ALTER TABLE job RENAME COLUMN inquiry_id TO investigation_id;
-- what a maintainer requested of a leased job
ALTER TABLE job ADD COLUMN request TEXT CHECK (request IN ('cancel', 'rerun'));
UPDATE job SET request = CASE wish WHEN 'again' THEN 'rerun' ELSE wish END WHERE wish IS NOT NULL;
ALTER TABLE job DROP COLUMN wish;
CREATE INDEX job_target_image ON job (target_image_id, group_id) WHERE state = 'queued';
CREATE INDEX job_request ON job (request) WHERE request IS NOT NULL;
CREATE UNIQUE INDEX job_one_open_run ON job (run_id) WHERE state <> 'finished' AND investigation_id IS NULL;
CREATE INDEX job_investigation ON job (investigation_id) WHERE investigation_id IS NOT NULL;

DROP INDEX run_judged;
DROP INDEX run_unjudged;
-- when its result was compared with those before it; NULL asks for that
ALTER TABLE run RENAME COLUMN judged_at TO evaluated_at;
CREATE INDEX run_evaluated ON run (project, evaluated_at);
CREATE INDEX run_unevaluated ON run (id) WHERE evaluated_at IS NULL;

DROP INDEX revision_image_news;
-- builds of its image that ended since the branch's builds were last compared
ALTER TABLE revision_image RENAME COLUMN news TO build_events;
CREATE INDEX revision_image_build_events ON revision_image (revision_id) WHERE build_events > 0;

DROP INDEX revision_line;
-- the Subversion folder that the revision was made in: UUID and path
ALTER TABLE revision RENAME COLUMN line TO svn_folder;
CREATE UNIQUE INDEX revision_svn ON revision (branch_id, svn_folder, label) WHERE svn_folder IS NOT NULL AND left_at IS NULL;

-- what the host said it has and accepts, JSON
ALTER TABLE host RENAME COLUMN offer TO capabilities;
-- attempts in a row that the host's own machinery failed; until `backoff_until` it gets no job for that
ALTER TABLE host RENAME COLUMN strikes TO consecutive_failures;
ALTER TABLE host RENAME COLUMN rests_until TO backoff_until;
-- when its owner was written to because it fell silent
ALTER TABLE host RENAME COLUMN flagged_at TO silence_reported_at;
