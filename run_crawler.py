#!/usr/bin/env python3
"""python run_crawler.py --dicom_folders "['a','b']": see README.md, or -h."""

import sys

from crawler.cli.run_crawler import main

if __name__ == "__main__":
    sys.exit(main())
