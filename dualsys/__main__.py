"""`python -m dualsys` is the `dualsys` command."""

import sys

from dualsys.app.cli import main

sys.exit(main())
