-- Recordings that are brought in: from the first byte that is sent to the call that comes of it.

CREATE TABLE imports (
    id             uuid PRIMARY KEY,
    tenant_id      uuid NOT NULL REFERENCES tenants,
    user_id        uuid REFERENCES users ON DELETE SET NULL,
    place          text NOT NULL,                 -- the data directory that its file lies in (infra/inbox.py)
    name           text NOT NULL,                 -- what the file was called where it comes from; no path here is made of it
    size_bytes     bigint NOT NULL CHECK (size_bytes > 0),
    sha256         text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    number         integer NOT NULL DEFAULT 1,    -- the same file brought in again is number 2, 3 ...
    parties        text NOT NULL CHECK (parties IN ('auto', 'two', 'mixed', 'one')),
    left_role      text NOT NULL CHECK (left_role IN ('customer', 'agent')),
    title          text,
    from_number    text,
    to_number      text,
    started_at     timestamptz,                   -- as told, else as the file says once it is opened
    modified_at    timestamptz,                   -- when the file was last written where it comes from
    status         text NOT NULL DEFAULT 'uploading'
        CHECK (status IN ('uploading', 'waiting', 'running', 'done', 'failed', 'cancelled')),
    received_bytes bigint NOT NULL DEFAULT 0,
    cancel_asked   boolean NOT NULL DEFAULT false,
    call_id        uuid,
    duration_ms    bigint,
    problem        text,                          -- why it failed, or what of it could not be read: for people
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz
);
CREATE UNIQUE INDEX imports_file ON imports (tenant_id, sha256, number);
CREATE INDEX imports_newest ON imports (tenant_id, created_at DESC, id DESC);
CREATE INDEX imports_open ON imports (created_at) WHERE status IN ('uploading', 'waiting', 'running');
CREATE INDEX imports_call ON imports (call_id);
