"""``python -m vidseg_ros`` is ``vidseg``."""

import sys

from vidseg_ros.start import vidseg

sys.exit(vidseg())
