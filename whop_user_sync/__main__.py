"""`python -m whop_user_sync`, as from a checkout that is not installed."""

import sys

from whop_user_sync.cli import main

sys.exit(main())
