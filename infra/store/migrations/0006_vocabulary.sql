-- Words that callers and agents use and no recogniser knows: of a tenant, or of one of its queues.

CREATE TABLE vocabulary (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    queue_id   uuid,                                  -- null: in every call. No reference: a default queue need not be stored
    phrase     text NOT NULL CHECK (char_length(phrase) BETWEEN 1 AND 100),  -- as it is to be written
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX vocabulary_phrase
    ON vocabulary (tenant_id, coalesce(queue_id, '00000000-0000-0000-0000-000000000000'), lower(phrase));
