-- Tracks on which several people are heard, who they are, and whose words are whose. Voices are not kept.

ALTER TABLE tracks
    ADD COLUMN mixed boolean NOT NULL DEFAULT false,
    ADD COLUMN speakers_revision integer NOT NULL DEFAULT 0;
ALTER TABLE meeting_transcripts ADD COLUMN speakers_revision integer NOT NULL DEFAULT 0;

CREATE TABLE speakers (
    track_id   uuid NOT NULL REFERENCES tracks ON DELETE CASCADE,
    speaker    text NOT NULL,                  -- SPEAKER_00, ...
    tenant_id  uuid NOT NULL REFERENCES tenants,
    call_id    uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('customer', 'agent', 'supervisor', 'unknown')),
    source     text NOT NULL CHECK (source IN ('guess', 'person')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (track_id, speaker)
);
CREATE INDEX speakers_call ON speakers (call_id);
