-- A maintainer agrees that a revision broke a project, as an incident says. What joins the incident later is not covered.
CREATE TABLE agreement (
    incident_id TEXT NOT NULL REFERENCES incident (id),
    -- the culprit, or the end of the range
    revision_id TEXT NOT NULL REFERENCES revision (id),
    project     TEXT NOT NULL,
    who         TEXT NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (incident_id, revision_id, project)
);
CREATE INDEX agreement_project ON agreement (project, incident_id);
