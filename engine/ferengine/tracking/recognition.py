"""How much a face must look like that of a track to be the same one, by what its place says."""

from __future__ import annotations

ALIKE_AFTER_CUT = 0.75
"""Similarity from which a face after a cut is the one before it. Of random pairs of ordinary faces 2 % are as alike as 0.59,
0.2 % as 0.76; after a cut another face at the place is as likely as the same one."""

ALIKE_IN_DISSOLVE = 0.8
"""The same after a dissolve, where the face may still be a mixture: some are as alike as 0.86 to the one that goes."""

ALIKE = 0.6
"""The same after more than ``_WHILE`` out of sight in one scene, where hardly ever another face is at the place."""

FAMILIAR = 0.4
"""The same after more than ``_BRIEFLY``, or sooner where what was at the place did not look like it: the place still speaks
for it. Of random pairs 9 % are as alike."""

IN_SIGHT = 0.4
"""The same of a face that its tracker has followed without doubt: a filter may be sure of another face. Of 386 corrections of
ten real clips the least alike is 0.43, two are below 0.48; of random pairs of faces 91 % are below 0.4."""

DOUBTFUL = 0.45
"""The same where the tracker doubts itself. Of the corrections of real clips the least alike is 0.46 then."""

LONG_UNSEEN = 0.1
"""By how much less alike it may be if the last detection is longer ago than ``_FRESH``: in that time faces turn further."""

_FRESH = 0.3
"""Seconds from one detection to the next within which the above was measured: six frames of 25 a second are 0.24 s."""

_BRIEFLY, _WHILE = 0.5, 1.0
"""Seconds out of sight. A face that comes back sooner is the same whatever it looks like: it may still be half hidden."""

HALF_HIDDEN = 0.35
"""Similarity from which a face may be that of a track lost at its place: what comes out from behind something is half hidden at
first, and no more like itself."""

DOUBT = 0.6
"""Confidence below which a tracker may follow something else: in 5 % of the corrections of real clips. Across cuts it is 0.22
at most between unlike faces, but up to 0.74 between two frontal ones at one place and of one size."""

SURE = 0.75
"""Confidence from which a tracker still follows its face though the frame has changed: in nine of ten corrections."""

BROKEN = 0.2
"""Confidence below which a face that was there in the frame before must look as after a while out of sight. None of 484
corrections of real clips is below it (the quickest turn of a head: 0.28). Of jump cuts half are."""


def least_similarity(lost_s: float, seen_s: float, confidence: float, denied: bool = False) -> float:
    """Return the least similarity (``looks.Looks``) of a detection that continues a track of its scene, in [0, 1].

    Args:
        lost_s: For how many seconds it has been out of sight.
        seen_s: How many seconds ago it was detected.
        confidence: Of its tracker, in [0, 1].
        denied: Whether a face at its place has been found too unlike it since it was last seen.
    """
    if lost_s > _WHILE:
        return ALIKE
    if lost_s > 0:
        return FAMILIAR if lost_s > _BRIEFLY or denied else 0.0
    if confidence < BROKEN:
        return ALIKE
    return (DOUBTFUL if confidence < DOUBT else IN_SIGHT) - (LONG_UNSEEN if seen_s > _FRESH else 0)
