"""Outputs held against what was recorded when they were written, and against the source."""
