#!/usr/bin/env python3
"""python run_crawler.py --dicom_folders "['a','b']": see docs/reference, or -h."""

import sys

from crawler.cli.main import run_crawler

if __name__ == "__main__":
    sys.exit(run_crawler())
