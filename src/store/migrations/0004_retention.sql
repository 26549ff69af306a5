-- Images that must stay on the engines, whatever their age: build key, and why.
CREATE TABLE pin (
    build_key TEXT NOT NULL REFERENCES image (build_key),
    reason    TEXT NOT NULL CHECK (reason <> ''),
    since     BIGINT NOT NULL,
    PRIMARY KEY (build_key, reason)
);

-- Which engines hold an image at present, as far as their hosts have told. An image that none holds is
-- still ready: a host builds it again where a run needs it.
CREATE TABLE image_on_host (
    host     TEXT NOT NULL,
    image_id TEXT NOT NULL REFERENCES image (id),
    seen_at  BIGINT NOT NULL,
    PRIMARY KEY (host, image_id)
);
CREATE INDEX image_on_host_image ON image_on_host (image_id);

-- When an image was last used is asked for every image that a host holds.
CREATE INDEX run_image ON run (image_id);
