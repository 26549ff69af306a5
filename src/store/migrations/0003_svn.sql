-- Check-ins of Subversion: what people call them, and the line (UUID and path) that they are on.

ALTER TABLE revision ADD COLUMN label TEXT CHECK (label LIKE 'r%');
ALTER TABLE revision ADD COLUMN line TEXT CHECK ((line IS NULL) = (label IS NULL));

CREATE INDEX revision_label ON revision (label) WHERE label IS NOT NULL;
-- No check-in of a line is on a branch twice.
CREATE UNIQUE INDEX revision_line ON revision (branch_id, line, label) WHERE line IS NOT NULL AND left_at IS NULL;
