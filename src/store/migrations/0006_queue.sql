-- Jobs that the same hosts can take, and that are alike in what they ask for: a project on a branch as a
-- variant, or the images of a branch. A claim looks at the first job of each group, however deep the queue is.
CREATE TABLE job_group (
    -- all that is alike in one
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('image', 'run')),
    platform    TEXT NOT NULL,
    -- '' for images
    project     TEXT NOT NULL,
    branch      TEXT NOT NULL,
    variant     TEXT NOT NULL,
    -- '', or `|this||and||that|`
    labels      TEXT NOT NULL,
    -- what a run of it may use
    memory_mib  BIGINT NOT NULL DEFAULT 0,
    -- the highest priority that a job of it ever had: who has that is fresh
    newest      BIGINT NOT NULL,
    -- how often it had its turn: whose number is lowest is next
    round       BIGINT NOT NULL DEFAULT 0,
    -- how long its jobs take, of late
    expected_ms BIGINT NOT NULL DEFAULT 0
);

ALTER TABLE job ADD COLUMN group_id TEXT REFERENCES job_group (id);
-- The image that it makes or works with.
ALTER TABLE job ADD COLUMN uses TEXT REFERENCES image (id);
-- The host that failed it last; another is to have it for a while.
ALTER TABLE job ADD COLUMN avoid TEXT;
-- Attempts at it that the machinery failed, since it was last revived.
ALTER TABLE job ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
-- What a maintainer asks of a job that is in work: that it ends, or that it begins again.
ALTER TABLE job ADD COLUMN wish TEXT CHECK (wish IN ('cancel', 'again'));

-- Runs came before builds by their priority; now they do by their kind.
UPDATE job SET priority = priority - 1000000000000000 WHERE priority >= 1000000000000000;
UPDATE job SET uses = COALESCE(image_id, (SELECT run.image_id FROM run WHERE run.id = job.run_id));

INSERT INTO job_group (id, kind, platform, project, branch, variant, labels, newest)
SELECT job.kind || ' ' || image.platform || ' ' || COALESCE(run.project, '') || ' ' || branch.name || ' ' || image.variant || '  0',
       job.kind, image.platform, COALESCE(run.project, ''), branch.name, image.variant, '', MAX(job.priority)
FROM job JOIN image ON image.id = job.uses LEFT JOIN run ON run.id = job.run_id
JOIN revision ON revision.id = COALESCE(run.revision_id, image.revision_id)
JOIN branch ON branch.id = revision.branch_id
GROUP BY job.kind, image.platform, COALESCE(run.project, ''), branch.name, image.variant;
UPDATE job SET group_id = (
    SELECT job.kind || ' ' || image.platform || ' ' || COALESCE(run.project, '') || ' ' || branch.name || ' ' || image.variant || '  0'
    FROM image LEFT JOIN run ON run.id = job.run_id
    JOIN revision ON revision.id = COALESCE(run.revision_id, image.revision_id)
    JOIN branch ON branch.id = revision.branch_id
    WHERE image.id = job.uses)
WHERE uses IS NOT NULL;

DROP INDEX job_queue;
CREATE INDEX job_waiting ON job (group_id, priority DESC, created_at, id) WHERE state = 'queued';
-- what a host may take that may not build: jobs on images that it holds
CREATE INDEX job_uses ON job (uses, group_id) WHERE state = 'queued';
CREATE INDEX job_due ON job (not_before) WHERE state = 'queued';
CREATE INDEX job_wish ON job (wish) WHERE wish IS NOT NULL;

-- The coordinator ended the attempt, since its host had fallen silent. What the host brings later is kept:
-- as what counts, where nobody else has begun; else as late.
ALTER TABLE attempt ADD COLUMN lost BIGINT NOT NULL DEFAULT 0 CHECK (lost IN (0, 1));
ALTER TABLE attempt ADD COLUMN late_at BIGINT;
ALTER TABLE attempt ADD COLUMN late_report TEXT;

-- Attempts in a row that failed in the machinery of a host, and until when it rests for that.
ALTER TABLE host ADD COLUMN strikes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE host ADD COLUMN rests_until BIGINT;
-- When its owner was told that it has fallen silent; NULL: it has not.
ALTER TABLE host ADD COLUMN flagged_at BIGINT;
-- Each host that starts asks for the jobs that the machinery has failed.
CREATE INDEX attempt_infra ON attempt (job_id, number) WHERE outcome = 'infra';
-- What a host has in work is asked at each of its claims.
CREATE INDEX attempt_working ON attempt (host) WHERE state = 'leased';
