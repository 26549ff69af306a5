-- Whether the recipe in force was submitted, rather than read from the folder of recipes.
ALTER TABLE project ADD COLUMN submitted BIGINT NOT NULL DEFAULT 0 CHECK (submitted IN (0, 1));

-- Projects whose recipes were submitted, beside those of the folder of recipes. `normalized` is the name as PEP 503 compares names;
-- `held`, that a maintainer paused or retired it.
CREATE TABLE registration (
    project    TEXT PRIMARY KEY,
    normalized TEXT NOT NULL UNIQUE,
    owner_id   TEXT REFERENCES account (id),
    state      TEXT NOT NULL CHECK (state IN ('proposed', 'active', 'paused', 'retired')),
    reason     TEXT NOT NULL,
    held       BIGINT NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
    version    BIGINT,
    created_at BIGINT NOT NULL,
    CHECK (version IS NOT NULL OR state IN ('proposed', 'retired'))
);
CREATE INDEX registration_owner ON registration (owner_id);

-- Every version of their recipes. The text is that of the recipe with the digest.
CREATE TABLE recipe_version (
    project      TEXT NOT NULL REFERENCES registration (project),
    number       BIGINT NOT NULL,
    digest       TEXT NOT NULL REFERENCES recipe (digest),
    submitted_by TEXT NOT NULL,
    submitted_at BIGINT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('trial', 'waiting', 'approved', 'refused', 'superseded')),
    trial_run_id TEXT REFERENCES run (id),
    trial_note   TEXT NOT NULL DEFAULT '',
    decided_by   TEXT,
    decided_at   BIGINT,
    reason       TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (project, number),
    CHECK ((decided_at IS NULL) = (state IN ('trial', 'waiting')))
);
CREATE INDEX recipe_version_open ON recipe_version (state, submitted_at) WHERE decided_at IS NULL;
CREATE INDEX recipe_version_submitted ON recipe_version (submitted_by, submitted_at);
CREATE INDEX recipe_version_digest ON recipe_version (digest);

-- A run that tries a version before it is approved. It is in no series and in no matrix.
ALTER TABLE run ADD COLUMN trial BIGINT NOT NULL DEFAULT 0 CHECK (trial IN (0, 1));
CREATE INDEX run_trial ON run (id) WHERE trial = 1;
CREATE INDEX recipe_version_trial ON recipe_version (trial_run_id);
