"""`python -m neon_edge` is `neon-edge`."""

import sys

from neon_edge.cli.main import main

sys.exit(main())
