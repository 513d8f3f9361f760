"""The synthetic tree that `dme.py sample` writes; it stands beside the pipeline and shares nothing with it."""

from crawler.sample.tree import write_sample

__all__ = ["write_sample"]
