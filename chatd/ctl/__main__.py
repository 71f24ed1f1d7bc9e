"""``python -m chatd.ctl``."""

import sys

from chatd.ctl.main import main

if __name__ == "__main__":
    sys.exit(main())
