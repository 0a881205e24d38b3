-- Who may come in, and what they did. Secrets are stored as SHA-256 of the random value handed out.

CREATE TABLE users (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    name       text NOT NULL,
    role       text NOT NULL CHECK (role IN ('agent', 'supervisor', 'admin')),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);

CREATE TABLE credentials (
    digest     bytea PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('token', 'session', 'login')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX credentials_user ON credentials (user_id);

CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    user_id    uuid REFERENCES users ON DELETE SET NULL,
    act        text NOT NULL,
    object_id  text,
    detail     jsonb NOT NULL DEFAULT '{}',
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_log_newest ON audit_log (tenant_id, at DESC);
