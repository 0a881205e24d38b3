-- Calls, what was said in them and what it meant. Every business table carries its tenant from the start.

CREATE TABLE tenants (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenants (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'default');

CREATE TABLE calls (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL REFERENCES tenants,
    external_id   text NOT NULL,
    door          text NOT NULL,
    title         text,
    from_number   text,
    to_number     text,
    status        text NOT NULL DEFAULT 'live' CHECK (status IN ('live', 'ended')),
    end_reason    text,
    gateway_id    text NOT NULL,
    owner_id      uuid,                        -- the user who may go on with it, where a user opened it
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    duration_ms   bigint,
    settled_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, door, external_id)
);
CREATE INDEX calls_newest ON calls (tenant_id, started_at DESC, id DESC);
CREATE INDEX calls_live ON calls (tenant_id) WHERE status = 'live';
CREATE INDEX calls_external ON calls (tenant_id, external_id);

CREATE TABLE legs (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL REFERENCES tenants,
    call_id      uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    role         text NOT NULL CHECK (role IN ('customer', 'agent', 'supervisor', 'unknown')),
    name         text,
    joined_at    timestamptz NOT NULL DEFAULT now(),
    left_at      timestamptz,
    left_reason  text
);
CREATE INDEX legs_call ON legs (call_id);

CREATE TABLE tracks (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL REFERENCES tenants,
    call_id      uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    leg_id       uuid NOT NULL REFERENCES legs ON DELETE CASCADE,
    role         text NOT NULL,
    label        text NOT NULL,
    speaker      text NOT NULL,
    next_seq     integer NOT NULL DEFAULT 0,   -- the number that its next final segment will have
    resume_chunk integer NOT NULL DEFAULT 0,   -- the first audio chunk that a new owner still needs
    resume_ms    bigint NOT NULL DEFAULT 0,    -- audio before this moment is already in final segments
    opened_at    timestamptz NOT NULL DEFAULT now(),
    closed_at    timestamptz,
    close_reason text
);
CREATE INDEX tracks_call ON tracks (call_id);

CREATE TABLE meeting_transcripts (
    id               uuid PRIMARY KEY,
    tenant_id        uuid NOT NULL REFERENCES tenants,
    call_id          uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    leg_id           uuid NOT NULL REFERENCES legs ON DELETE CASCADE,
    track_id         uuid NOT NULL REFERENCES tracks ON DELETE CASCADE,
    title            text,
    original_text    text NOT NULL,
    cleaned_text     text NOT NULL,
    speaker          text NOT NULL,
    role             text NOT NULL,
    chunk_index      integer NOT NULL,
    seq              integer NOT NULL,
    start_time       timestamptz NOT NULL,
    end_time         timestamptz NOT NULL,
    start_ms         bigint NOT NULL,
    end_ms           bigint NOT NULL,
    duration_seconds double precision NOT NULL,
    language         text NOT NULL,
    confidence       double precision NOT NULL,
    words            jsonb NOT NULL DEFAULT '[]',
    llm_summary      jsonb,
    latency_ms       integer,
    is_final         boolean NOT NULL DEFAULT true,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (track_id, seq),
    CHECK (end_ms >= start_ms)
);
CREATE INDEX meeting_transcripts_call ON meeting_transcripts (call_id, start_ms, id);
CREATE INDEX meeting_transcripts_words ON meeting_transcripts USING gin (to_tsvector('simple', cleaned_text));

CREATE TABLE gaps (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    call_id    uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    track_id   uuid NOT NULL REFERENCES tracks ON DELETE CASCADE,
    start_ms   bigint NOT NULL,
    end_ms     bigint NOT NULL,
    cause      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (end_ms >= start_ms)
);
CREATE INDEX gaps_call ON gaps (call_id, start_ms);

CREATE TABLE insights (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    call_id    uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    kind       text NOT NULL,
    key        text NOT NULL,
    body       jsonb NOT NULL,
    edits      jsonb NOT NULL DEFAULT '{}',    -- what people changed: stays, whatever a later analysis says
    evidence   uuid[] NOT NULL DEFAULT '{}',
    source     text NOT NULL,
    revision   integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (call_id, kind, key)
);

CREATE TABLE recordings (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants,
    call_id     uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    path        text NOT NULL,
    codec       text NOT NULL,
    bytes       bigint,
    duration_ms bigint,
    status      text NOT NULL CHECK (status IN ('writing', 'saved', 'failed')),
    reason      text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX recordings_call ON recordings (call_id);
