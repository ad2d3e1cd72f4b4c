"""What searching only near known faces finds and costs, against full scans, on videos.

    python -m ferengine_tools.near_search VIDEO... [--every 6] [--full-scan 1] [--min-face 40] [--json]

One frame in ``--every`` is searched twice: in full, which counts as the truth, and as a run with ``search="near"`` does:
in full once in ``--full-scan`` seconds or while nothing is known, else near the boxes found last. These are ``--every``
frames old here, while in a run the trackers move them along, so that the engine loses fewer faces than this.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ferengine.detect.mtcnn import MtcnnDetector
from ferengine.errors import FerengineError
from ferengine.sources import open_source
from ferengine.track.matching import iou_matrix

MATCH_IOU = 0.5
"""Overlap from which a face of the full scan counts as found."""
