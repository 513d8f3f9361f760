"""What a run needs before it begins, and how a task's files are called in the log."""

from __future__ import annotations

from crawler.config.loader import Config
from crawler.export.tasks import ArchiveTask, IndexTask, Task
from crawler.model import File


def name_of(task: Task, item: int | None) -> str:
    """The culprit's name for the log: the user's own path."""
    if isinstance(task, ArchiveTask):
        return task.file.key
    files: list[File] = list(task.files) if isinstance(task, IndexTask) else [f for job in task.jobs for f in job.files]
    return files[item].key if item is not None else f"{files[0].key} or a neighbour" if files else "an empty folder"


def require_packages(config: Config) -> None:
    """Stop before any work when an output needs a package that is not installed."""
    if not (config.volume or config.image or config.video or config.preview):
        return
    from crawler.sinks import layout_sink, media_sinks, require  # a run for headers alone has no sink

    if config.volume is not None:
        for name in config.volume.formats:
            require(layout_sink(name, config.volume.compression))
    for section in (config.image, config.video):
        for sink in media_sinks(section) if section is not None else ():
            require(sink)
    if config.preview is not None:
        from crawler.sinks.preview import PreviewSink  # it loads Pillow

        require(PreviewSink)
