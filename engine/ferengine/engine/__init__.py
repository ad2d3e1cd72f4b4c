"""The public engine: cameras in, results out, everything between in dedicated processes.

``engine`` makes it, ``running`` starts and ends it, ``sources`` brings frames in, and ``consuming`` brings results out.
"""

from ferengine.engine.engine import Engine as Engine
from ferengine.engine.sources import AnySource as AnySource
from ferengine.engine.sources import as_spec as as_spec
