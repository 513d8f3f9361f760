"""dme against its peers and its bars, measured in one run. `python -m benchmarks --help`; results in RESULTS.md."""
