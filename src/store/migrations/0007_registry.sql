-- Where an image is in the registry, by digest: `registry.example.org/pybots/cpython@sha256:..`. A host that
-- may not build can have runs on it, whatever its engine holds.
ALTER TABLE image ADD COLUMN remote TEXT CHECK (remote LIKE '%@sha256:%');
