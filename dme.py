#!/usr/bin/env python3
"""python dme.py config.yml: see docs/reference, or --help."""

import sys

from crawler.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
