"""Where planes belong: columns of a scan's planes, repeated positions, the verdict; `layout.py` is the door."""
