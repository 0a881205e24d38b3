"""Redis: the two hand-overs between gateway, workers and screens."""
