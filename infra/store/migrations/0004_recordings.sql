-- A call has one recording; the stretches in which nothing was kept, and why.

DROP INDEX recordings_call;
CREATE UNIQUE INDEX recordings_call ON recordings (call_id);
CREATE INDEX recordings_failed ON recordings (created_at) WHERE status = 'failed';

CREATE TABLE recording_pauses (
    recording_id uuid NOT NULL REFERENCES recordings ON DELETE CASCADE,
    tenant_id    uuid NOT NULL REFERENCES tenants,
    start_ms     bigint NOT NULL,
    end_ms       bigint,                       -- null: it lasts
    reason       text NOT NULL,                -- 'asked', or what went wrong
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (recording_id, start_ms, reason),
    CHECK (end_ms >= start_ms)
);
