-- The account to which the owner of a project hands it over, until it accepts.
ALTER TABLE registration ADD COLUMN next_owner_id TEXT REFERENCES account (id);
