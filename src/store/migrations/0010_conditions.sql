-- What differed besides CPython between the two runs that prove a regression: JSON, a line for each.
ALTER TABLE regression ADD COLUMN conditions TEXT NOT NULL DEFAULT '[]';

-- How often an attempt ended that an evaluation has to take into account. An evaluation that read another number is out of date.
ALTER TABLE run ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;
