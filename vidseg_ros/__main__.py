"""``python -m vidseg_ros`` is ``vidseg``."""

import sys

from vidseg_ros.cli.main import main

sys.exit(main())
