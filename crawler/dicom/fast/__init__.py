"""The fast header reader: the same record as the full one, from templates of earlier headers."""
