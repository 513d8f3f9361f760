"""The synthetic tree that `dme.py sample` writes; it stands beside the pipeline and shares nothing with it."""

from crawler.sample.tree import write_sample, write_single

__all__ = ["write_sample", "write_single"]
