-- Which side of the call's recording a track is on: as its role was when it opened, whoever it turns out to be.

ALTER TABLE tracks ADD COLUMN side text CHECK (side IN ('left', 'right'));
UPDATE tracks SET side = CASE role WHEN 'customer' THEN 'left' ELSE 'right' END;
ALTER TABLE tracks ALTER COLUMN side SET NOT NULL;
