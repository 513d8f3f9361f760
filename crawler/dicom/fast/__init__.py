"""The quick header reader: the same record as the careful one, from templates of earlier headers."""
