"""`--dry-run`: what a run would find and do, by a walk, a sample of headers and a trial; `preflight.py` is the door."""
