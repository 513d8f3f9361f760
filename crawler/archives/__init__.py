"""Bytes inside archives: names, limits, streams that inflate as they are read; `files.py` is the door."""
