-- What a track speaks, once that is known (ISO 639-1).

ALTER TABLE tracks ADD COLUMN language text;
