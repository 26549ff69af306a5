-- The place of a revision in lists of several branches, as milliseconds UTC. A committer chooses the date of a commit, so that it can
-- lie in the future or before that of the parent. This one is never after the discovery, and never before that of an earlier revision
-- of the branch.
ALTER TABLE revision ADD COLUMN listed_at BIGINT NOT NULL DEFAULT 0;

UPDATE revision SET listed_at = ordered.listed_at
FROM (
    SELECT id, MAX(CASE WHEN committed_at < discovered_at THEN committed_at ELSE discovered_at END)
        OVER (PARTITION BY branch_id ORDER BY seq) AS listed_at
    FROM revision
) AS ordered
WHERE ordered.id = revision.id;

DROP INDEX revision_time;
CREATE INDEX revision_time ON revision (listed_at DESC, id DESC);
