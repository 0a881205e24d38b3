-- Queues: what happens to a call on a number. Callbacks: who waits to hear from us. And what Twilio told us.

CREATE TABLE queues (
    id               uuid PRIMARY KEY,
    tenant_id        uuid NOT NULL REFERENCES tenants,
    name             text NOT NULL,
    is_default       boolean NOT NULL DEFAULT false,  -- takes every number that no other queue names
    mode             text CHECK (mode IN ('connect', 'listen')),  -- null: as TWILIO_MODE says
    dial             text,                            -- null: the agents themselves
    greeting         text,                            -- null: the recorded one; '': none
    music            boolean NOT NULL DEFAULT true,
    consent          boolean NOT NULL DEFAULT false,
    recorded         boolean NOT NULL DEFAULT true,
    ring_s           integer NOT NULL DEFAULT 20 CHECK (ring_s > 0),
    max_wait_s       integer NOT NULL DEFAULT 300 CHECK (max_wait_s >= 0),
    max_waiting      integer NOT NULL DEFAULT 50 CHECK (max_waiting >= 0),
    on_timeout       text NOT NULL DEFAULT 'voicemail' CHECK (on_timeout IN ('voicemail', 'callback', 'hangup')),
    overflow_to      uuid,
    overflow_after_s integer NOT NULL DEFAULT 60 CHECK (overflow_after_s >= 0),
    agents           uuid[] NOT NULL DEFAULT '{}',    -- empty: every user
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);
CREATE UNIQUE INDEX queues_default ON queues (tenant_id) WHERE is_default;
INSERT INTO queues (id, tenant_id, name, is_default)
VALUES ('737f5f15-feec-571f-a85b-c80e9f1b98e8', '00000000-0000-0000-0000-000000000001', 'Default', true);

CREATE TABLE queue_numbers (
    tenant_id uuid NOT NULL REFERENCES tenants,
    number    text NOT NULL,                          -- E.164
    queue_id  uuid NOT NULL REFERENCES queues ON DELETE CASCADE,
    PRIMARY KEY (tenant_id, number)                   -- a number belongs to one queue
);
CREATE INDEX queue_numbers_queue ON queue_numbers (queue_id);

-- None of these is a reference: what a call went through stays true when the queue or the user is gone.
ALTER TABLE calls ADD COLUMN queue_id uuid, ADD COLUMN stage text, ADD COLUMN agent_id uuid;
ALTER TABLE legs ADD COLUMN user_id uuid;

CREATE TABLE callbacks (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL REFERENCES tenants,
    call_id      uuid NOT NULL,                       -- no reference: a webhook may ask before the gateway stored the call
    queue_id     uuid,
    number       text,                                -- null: the caller withheld it
    kind         text NOT NULL CHECK (kind IN ('callback', 'voicemail')),
    status       text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'dismissed')),
    requested_at timestamptz NOT NULL,
    done_by      uuid REFERENCES users ON DELETE SET NULL,
    done_at      timestamptz,
    UNIQUE (call_id, kind)
);
CREATE INDEX callbacks_newest ON callbacks (tenant_id, requested_at DESC, id DESC);

CREATE TABLE twilio_recordings (
    recording_sid text PRIMARY KEY,
    tenant_id     uuid NOT NULL REFERENCES tenants,
    call_id       uuid NOT NULL,                      -- the same
    call_sid      text NOT NULL,
    status        text NOT NULL,
    url           text,
    duration_s    integer,
    channels      integer,
    source        text,
    error_code    text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX twilio_recordings_call ON twilio_recordings (call_id);

-- Which of Twilio's notices were heard. A claim that was not carried out may be taken over.
CREATE TABLE twilio_notices (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    call_sid   text NOT NULL,
    notice     text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz,
    PRIMARY KEY (tenant_id, call_sid, notice)
);
CREATE INDEX twilio_notices_age ON twilio_notices (claimed_at);
