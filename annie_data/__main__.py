"""`python -m annie_data`."""

import sys

from annie_data.cli import main

if __name__ == "__main__":
    sys.exit(main())
