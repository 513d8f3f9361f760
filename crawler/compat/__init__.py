"""`run_crawler.py`: the files and rules of the earlier crawler, on this engine."""
