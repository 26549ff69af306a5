-- Attempts that ended since a source did not answer. They are no attempts that the infrastructure failed.
ALTER TABLE job ADD COLUMN unanswered_attempts BIGINT NOT NULL DEFAULT 0;
