-- What is looked into: which check-in changed something of a project on a branch, as a variant.
CREATE TABLE inquiry (
    id        TEXT PRIMARY KEY,
    branch_id TEXT NOT NULL REFERENCES branch (id),
    project   TEXT NOT NULL,
    variant   TEXT NOT NULL,
    platform  TEXT NOT NULL,
    recipe    TEXT NOT NULL REFERENCES recipe (digest),
    change    TEXT NOT NULL CHECK (change IN ('broke', 'fixed')),
    -- the check-in where it was last seen as it was before, and the one where the change was seen
    base_id   TEXT NOT NULL REFERENCES revision (id),
    now_id    TEXT NOT NULL REFERENCES revision (id),
    base_seq  BIGINT NOT NULL,
    now_seq   BIGINT NOT NULL,
    -- JSON
    subjects  TEXT NOT NULL,
    -- exact versions, JSON: those of the check-in before, and those of the other where they differ
    base_lock TEXT,
    now_lock  TEXT,
    -- how the suspicious run ended, for those that fail alike
    signature TEXT,
    -- the inquiry whose culprit is a merge: this one goes on among the check-ins that it brought
    within    TEXT REFERENCES inquiry (id),
    -- a person asked: no incident comes of it
    by_hand   BIGINT NOT NULL DEFAULT 0 CHECK (by_hand IN (0, 1)),
    state     TEXT NOT NULL CHECK (state IN ('open', 'answered')),
    -- JSON
    findings  TEXT,
    rounds    BIGINT NOT NULL DEFAULT 0,
    opened_at BIGINT NOT NULL,
    ended_at  BIGINT,
    -- up to then what it found to be nobody's raises no suspicion; then it is looked at again
    quiet_until BIGINT,
    CHECK (base_seq < now_seq),
    CHECK ((state = 'answered') = (findings IS NOT NULL)),
    CHECK ((state = 'answered') = (ended_at IS NOT NULL))
);
CREATE INDEX inquiry_quiet ON inquiry (quiet_until) WHERE quiet_until IS NOT NULL;
CREATE INDEX inquiry_open ON inquiry (opened_at) WHERE state = 'open';
CREATE INDEX inquiry_within ON inquiry (within) WHERE within IS NOT NULL;
CREATE INDEX inquiry_about ON inquiry (branch_id, project, variant, now_seq);

-- A run is done again for an inquiry, several times at once.
ALTER TABLE job ADD COLUMN inquiry_id TEXT REFERENCES inquiry (id);
-- With which versions: those of the check-in before, or those of now.
ALTER TABLE job ADD COLUMN lock_of TEXT CHECK (lock_of IN ('base', 'now'));
-- With other versions than its run otherwise: it says nothing of the cell. Without an inquiry it tries newer ones.
ALTER TABLE job ADD COLUMN crossed BIGINT NOT NULL DEFAULT 0 CHECK (crossed IN (0, 1));
DROP INDEX job_one_open_run;
CREATE UNIQUE INDEX job_one_open_run ON job (run_id) WHERE state <> 'finished' AND inquiry_id IS NULL;
CREATE INDEX job_inquiry ON job (inquiry_id) WHERE inquiry_id IS NOT NULL;

-- When it was looked at what is new in it. What ran before there were verdicts is no news.
ALTER TABLE run ADD COLUMN judged_at BIGINT;
UPDATE run SET judged_at = created_at;
-- Its newest runs say how noisy a project is.
CREATE INDEX run_project ON run (project, id);
CREATE INDEX run_judged ON run (project, judged_at);
CREATE INDEX run_unjudged ON run (id) WHERE judged_at IS NULL;

-- How often something became of its image since it was looked at where builds turned.
ALTER TABLE revision_image ADD COLUMN news BIGINT NOT NULL DEFAULT 1;
UPDATE revision_image SET news = 0;
CREATE INDEX revision_image_news ON revision_image (revision_id) WHERE news > 0;

-- The versions with which a recipe is run on a line of Python, so that CPython alone changes.
CREATE TABLE kept_lock (
    recipe   TEXT NOT NULL REFERENCES recipe (digest),
    line     TEXT NOT NULL,
    variant  TEXT NOT NULL,
    platform TEXT NOT NULL,
    text     TEXT NOT NULL,
    since    BIGINT NOT NULL,
    -- the job that tries the newest versions where CPython is the same, and when it was asked for
    refresh_job TEXT REFERENCES job (id),
    refresh_at  BIGINT,
    PRIMARY KEY (recipe, line, variant, platform)
);

-- What was confirmed, until it is over.
CREATE TABLE incident (
    id           TEXT PRIMARY KEY,
    -- what people call it
    number       BIGINT NOT NULL UNIQUE,
    opened_at    BIGINT NOT NULL,
    reported_at  BIGINT,
    reported_as  TEXT,
    -- whom it is put to: CPython repairs, or the projects adapt to an intended change
    put_to       TEXT CHECK (put_to IN ('cpython', 'projects')),
    waived_by    TEXT,
    waived_why   TEXT,
    waived_until BIGINT,
    closed_at    BIGINT,
    -- the one that it is the return of
    again_of     TEXT REFERENCES incident (id),
    CHECK ((waived_by IS NULL) = (waived_why IS NULL)),
    CHECK ((waived_by IS NULL) = (waived_until IS NULL))
);
CREATE INDEX incident_open ON incident (number) WHERE closed_at IS NULL;

-- What it is on one branch, of one project as one variant.
CREATE TABLE breakage (
    id           TEXT PRIMARY KEY,
    incident_id  TEXT NOT NULL REFERENCES incident (id),
    -- none: it is about the image itself
    inquiry_id   TEXT REFERENCES inquiry (id),
    branch_id    TEXT NOT NULL REFERENCES branch (id),
    project      TEXT NOT NULL,
    variant      TEXT NOT NULL,
    platform     TEXT NOT NULL,
    -- JSON
    subjects     TEXT NOT NULL,
    good_id      TEXT NOT NULL REFERENCES revision (id),
    bad_id       TEXT NOT NULL REFERENCES revision (id),
    -- their places on the branch; of what a merge brought, those of the merge and of the check-in before it
    good_seq     BIGINT NOT NULL,
    bad_seq      BIGINT NOT NULL,
    -- the culprit is `bad`, for `good` is the one before it; else it is one of those between
    exact        BIGINT NOT NULL CHECK (exact IN (0, 1)),
    -- why it is no more exact
    reason       TEXT,
    -- how often it fails, per mille, where not always
    rate         BIGINT,
    -- first error, as it is and without what varies
    error        TEXT,
    signature    TEXT,
    -- lines that the log of `bad` has and that of `good` has not, JSON
    difference   TEXT NOT NULL,
    good_attempt TEXT REFERENCES attempt (id),
    bad_attempt  TEXT REFERENCES attempt (id),
    fixed_id     TEXT REFERENCES revision (id),
    -- how it was mended where no check-in did
    fixed_as     TEXT,
    fixed_at     BIGINT,
    CHECK ((fixed_at IS NULL) = (fixed_id IS NULL AND fixed_as IS NULL))
);
CREATE INDEX breakage_incident ON breakage (incident_id);
CREATE INDEX breakage_bad ON breakage (bad_id);
CREATE INDEX breakage_about ON breakage (branch_id, project, variant);

-- What became of it, for people.
CREATE TABLE incident_note (
    id          TEXT PRIMARY KEY,
    incident_id TEXT NOT NULL REFERENCES incident (id),
    at          BIGINT NOT NULL,
    who         TEXT NOT NULL,
    what        TEXT NOT NULL
);
CREATE INDEX incident_note_of ON incident_note (incident_id, at);
