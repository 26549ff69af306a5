-- Reruns of investigations, and builds that investigations hasten, are in groups of their own: the first job of a group stands for
-- all of it, and what a revision waits for goes before them.
ALTER TABLE job_group ADD COLUMN reruns BIGINT NOT NULL DEFAULT 0 CHECK (reruns IN (0, 1));
