-- Members of JSON objects that many rows share, without the braces: the image in the specs of all runs on it, the rest of
-- the specs of all runs of a recipe, and parts of reports. The digest is the first 32 hex digits of the SHA-256.
CREATE TABLE shared_json (
    digest  TEXT PRIMARY KEY,
    members TEXT NOT NULL
);
-- The shared parts of `spec`: both or none.
ALTER TABLE job ADD COLUMN spec_image TEXT REFERENCES shared_json (digest);
ALTER TABLE job ADD COLUMN spec_recipe TEXT REFERENCES shared_json (digest);
-- The shared parts of `report`: both or none.
ALTER TABLE attempt ADD COLUMN report_images TEXT REFERENCES shared_json (digest);
ALTER TABLE attempt ADD COLUMN report_lock TEXT REFERENCES shared_json (digest);

-- the whole objects
CREATE VIEW job_spec (job_id, spec) AS
SELECT job.id,
       CASE WHEN job.spec_image IS NULL THEN job.spec
            ELSE '{' || (SELECT members FROM shared_json WHERE digest = job.spec_image)
                     || ',' || (SELECT members FROM shared_json WHERE digest = job.spec_recipe)
                     || ',' || substr(job.spec, 2) END
FROM job;
CREATE VIEW attempt_report (attempt_id, report) AS
SELECT attempt.id,
       CASE WHEN attempt.report_images IS NULL THEN attempt.report
            ELSE '{' || (SELECT members FROM shared_json WHERE digest = attempt.report_images)
                     || ',' || (SELECT members FROM shared_json WHERE digest = attempt.report_lock)
                     || ',' || substr(attempt.report, 2) END
FROM attempt;
