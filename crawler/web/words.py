"""Words of the pages that come from values: states, stages, verdicts. `_` in a page translates them.

`mark` does nothing at run time; it is what the test of the catalogue looks for.
"""

from __future__ import annotations


def mark(text: str) -> str:
    """A text that a page translates."""
    return text


STATES = {
    "draft": mark("draft"),
    "queued": mark("waiting"),
    "running": mark("running"),
    "stopping": mark("stopping"),
    "finished": mark("finished"),
    "incomplete": mark("finished, some files failed"),
    "failed": mark("could not run"),
    "paused": mark("paused"),
    "cancelled": mark("cancelled"),
    "lost": mark("ended before its time"),
}
STAGES = {
    "starting": mark("starting"),
    "retrieving": mark("retrieving from the PACS"),
    "survey": mark("listing folders"),
    "running": mark("exporting"),
    "finishing": mark("making the tables"),
}
GOALS = {
    "tables": mark("Tables: a row for every file and for every series"),
    "training": mark("Volumes for training: arrays with their geometry, and a table"),
    "pictures": mark("Pictures and videos to look at"),
    "everything": mark("Everything: tables, volumes, pictures, videos, previews"),
}
"""Goal of the form -> its line."""
VERDICTS = {
    "not exported": mark("not exported"),
    "refused": mark("refused"),
    "split": mark("split"),
    "kept uneven": mark("kept uneven"),
    "uneven": mark("uneven"),
    "regular volume": mark("regular volume"),
    "no image": mark("no image"),
    "no geometry": mark("no geometry"),
    "single slice": mark("single slice"),
    "irregular": mark("irregular"),
}
