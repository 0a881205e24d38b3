-- Programs that send us calls' audio (role sender): their tokens open media streams and nothing else.

ALTER TABLE users DROP CONSTRAINT users_role_check;
ALTER TABLE users ADD CONSTRAINT users_role_check CHECK (role IN ('agent', 'supervisor', 'admin', 'sender'));
