-- What the probes of its investigation showed at each revision of the searched range, as JSON.
ALTER TABLE regression ADD COLUMN probed TEXT NOT NULL DEFAULT '[]';
