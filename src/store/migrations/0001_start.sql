-- One schema for SQLite and PostgreSQL: ids are UUIDv7 text, times BIGINT milliseconds UTC,
-- truth values BIGINT 0 or 1.

CREATE TABLE branch (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    reference  TEXT NOT NULL,
    source     TEXT NOT NULL,
    position   BIGINT NOT NULL,
    watched    BIGINT NOT NULL DEFAULT 1 CHECK (watched IN (0, 1)),
    head       TEXT,
    problem    TEXT,
    checked_at BIGINT
);

CREATE TABLE revision (
    id            TEXT PRIMARY KEY,
    branch_id     TEXT NOT NULL REFERENCES branch (id),
    seq           BIGINT NOT NULL,
    sha           TEXT NOT NULL,
    tree          TEXT NOT NULL,
    parent        TEXT,
    author        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    committed_at  BIGINT NOT NULL,
    version       TEXT,
    discovered_at BIGINT NOT NULL,
    left_at       BIGINT,
    planned_at    BIGINT,
    UNIQUE (branch_id, sha),
    UNIQUE (branch_id, seq)
);
CREATE INDEX revision_time ON revision (committed_at DESC, id DESC);
CREATE INDEX revision_sha ON revision (sha);
CREATE INDEX revision_unplanned ON revision (branch_id) WHERE planned_at IS NULL;

CREATE TABLE image (
    id          TEXT PRIMARY KEY,
    build_key   TEXT NOT NULL UNIQUE,
    revision_id TEXT NOT NULL REFERENCES revision (id),
    variant     TEXT NOT NULL,
    platform    TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('wanted', 'ready', 'failed')),
    reference   TEXT,
    digest      TEXT,
    size        BIGINT,
    facts       TEXT,
    created_at  BIGINT NOT NULL,
    ready_at    BIGINT,
    CHECK ((state = 'ready') = (digest IS NOT NULL)),
    CHECK ((state = 'ready') = (ready_at IS NOT NULL))
);

-- Which image stands for a revision, or why none can.
CREATE TABLE revision_image (
    revision_id TEXT NOT NULL REFERENCES revision (id),
    variant     TEXT NOT NULL,
    platform    TEXT NOT NULL,
    image_id    TEXT REFERENCES image (id),
    reason      TEXT,
    PRIMARY KEY (revision_id, variant, platform),
    CHECK ((image_id IS NULL) = (reason IS NOT NULL))
);
CREATE INDEX revision_image_image ON revision_image (image_id);

CREATE TABLE project (
    name          TEXT PRIMARY KEY,
    summary       TEXT NOT NULL,
    homepage      TEXT NOT NULL,
    recipe        TEXT NOT NULL,
    registered    BIGINT NOT NULL DEFAULT 1 CHECK (registered IN (0, 1)),
    registered_at BIGINT NOT NULL
);

-- Every recipe that ever ran, by digest.
CREATE TABLE recipe (
    digest   TEXT PRIMARY KEY,
    project  TEXT NOT NULL,
    text     TEXT NOT NULL,
    seen_at  BIGINT NOT NULL
);

-- Recipe files that were refused, with the message for their owners.
CREATE TABLE refused_recipe (
    file    TEXT PRIMARY KEY,
    message TEXT NOT NULL
);

CREATE TABLE run (
    id          TEXT PRIMARY KEY,
    revision_id TEXT NOT NULL REFERENCES revision (id),
    project     TEXT NOT NULL,
    variant     TEXT NOT NULL,
    platform    TEXT NOT NULL,
    recipe      TEXT NOT NULL REFERENCES recipe (digest),
    image_id    TEXT REFERENCES image (id),
    skip_reason TEXT,
    created_at  BIGINT NOT NULL,
    UNIQUE (revision_id, project, variant, platform, recipe)
);

CREATE TABLE job (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('image', 'run')),
    image_id   TEXT REFERENCES image (id),
    run_id     TEXT REFERENCES run (id),
    state      TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'finished')),
    priority   BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    spec       TEXT NOT NULL,
    CHECK ((kind = 'image') = (image_id IS NOT NULL)),
    CHECK ((kind = 'run') = (run_id IS NOT NULL))
);
CREATE INDEX job_queue ON job (priority DESC, created_at, id) WHERE state = 'queued';
CREATE UNIQUE INDEX job_one_open_image ON job (image_id) WHERE state <> 'finished';
CREATE UNIQUE INDEX job_one_open_run ON job (run_id) WHERE state <> 'finished';
CREATE INDEX job_run ON job (run_id);
CREATE INDEX job_image ON job (image_id);

CREATE TABLE attempt (
    id          TEXT PRIMARY KEY,
    job_id      TEXT NOT NULL REFERENCES job (id),
    number      BIGINT NOT NULL CHECK (number >= 1),
    host        TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('leased', 'finished')),
    fence       TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT,
    outcome     TEXT CHECK (outcome IN ('passed', 'failed', 'crashed', 'timed_out', 'out_of_memory',
                            'setup_failed', 'recipe_error', 'infra', 'cancelled', 'skipped')),
    exit_code   BIGINT,
    report      TEXT,
    UNIQUE (job_id, number),
    CHECK ((state = 'finished') = (finished_at IS NOT NULL)),
    CHECK ((state = 'finished') = (outcome IS NOT NULL))
);
CREATE UNIQUE INDEX attempt_one_lease ON attempt (job_id) WHERE state = 'leased';
CREATE INDEX attempt_leases ON attempt (lease_until) WHERE state = 'leased';
