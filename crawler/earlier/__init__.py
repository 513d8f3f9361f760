"""`run_crawler.py`: the flags and files of the earlier crawler, on the engine of this one."""
