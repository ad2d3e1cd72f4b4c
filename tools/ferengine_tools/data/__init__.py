"""Loaders of the public data sets. What the help of commands names is here, where NumPy is not needed."""

from __future__ import annotations

from typing import Literal

LabelSet = Literal["fer2013", "ferplus8"]
"""The classes of FER-2013, or these and contempt, of FER+."""
