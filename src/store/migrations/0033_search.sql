-- The words by which people find revisions and incidents. `subject` is the id of the revision or the incident.
CREATE TABLE search_word (
    kind TEXT NOT NULL,
    word TEXT NOT NULL,
    subject TEXT NOT NULL,
    PRIMARY KEY (kind, word, subject)
);
CREATE INDEX search_word_subject ON search_word (subject, word);
-- Whether the words of a row are in `search_word`.
ALTER TABLE revision ADD COLUMN searchable BIGINT;
ALTER TABLE regression ADD COLUMN searchable BIGINT;
CREATE INDEX revision_not_searchable ON revision (id) WHERE searchable IS NULL;
CREATE INDEX regression_not_searchable ON regression (id) WHERE searchable IS NULL;
