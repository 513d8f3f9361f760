"""`--dry-run`: a survey of the input, a sample of headers, a trial run."""
