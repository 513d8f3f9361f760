#!/usr/bin/env python3
"""python dme.py config.yml: see README.md, or --help."""

from crawler.cli import leave, main

if __name__ == "__main__":
    leave(main())
