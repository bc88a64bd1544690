"""`python -m apt_core`: the command line."""

import sys

from apt_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
