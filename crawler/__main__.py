"""`python -m crawler CONFIG`: as `dme CONFIG`."""

import sys

from crawler.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
