-- The failures of the host's machinery in a row, by project: JSON. NULL for hosts whose last job ended well, and for rows of before.
ALTER TABLE host ADD COLUMN failure_streak TEXT;
