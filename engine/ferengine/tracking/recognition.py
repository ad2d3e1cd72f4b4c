"""How much a face must look like that of a track to be the same one, by what its place says."""

from __future__ import annotations

ALIKE_AFTER_CUT = 0.75
"""Similarity from which a face after a cut is the one before it. Of random pairs of ordinary faces 2 % are as alike as 0.59,
0.2 % as 0.76; after a cut another face at the place is as likely as the same one."""

ALIKE = 0.6
"""The same after more than ``_WHILE`` out of sight in one scene, where hardly ever another face is at the place."""

FAMILIAR = 0.4
"""The same after more than ``_BRIEFLY``, and where the tracker doubts itself: the place still speaks for it. Of random pairs
9 % are as alike."""

IN_SIGHT = 0.3
"""The same of a face that its tracker has followed without doubt: a filter may be sure of another face. Of 485 corrections of
real clips 482 are above 0.44 and one is below 0.3, of random pairs of faces 84 %."""

_BRIEFLY, _WHILE = 0.5, 1.0
"""Seconds out of sight. A face that comes back sooner is the same whatever it looks like: it may still be half hidden."""

HALF_HIDDEN = 0.35
"""Similarity from which a face may be that of a track lost at its place: what comes out from behind something is half hidden at
first, and no more like itself."""

DOUBT = 0.3
"""Confidence below which a tracker may follow something else. Measured: at least 0.72 in 99 % of the frames without a cut;
across cuts 0.22 at most between unlike faces, but up to 0.74 between two frontal ones at one place and of one size."""

BROKEN = 0.2
"""Confidence below which a face that was there in the frame before must look as after a while out of sight. None of 484
corrections of real clips is below it (the quickest turn of a head: 0.28). Of jump cuts half are."""


def least_similarity(same_scene: bool, lost_s: float, confidence: float) -> float:
    """Return the least similarity (``appearance.Looks``) of a detection that continues a track, in [0, 1].

    Args:
        same_scene: Whether there was no cut since the track was last seen.
        lost_s: For how many seconds it has been out of sight.
        confidence: Of its tracker, in [0, 1].
    """
    if not same_scene:
        return ALIKE_AFTER_CUT
    if lost_s > _WHILE:
        return ALIKE
    if lost_s == 0 and confidence < BROKEN:
        return ALIKE
    if lost_s > _BRIEFLY or confidence < DOUBT:
        return FAMILIAR
    return 0.0 if lost_s > 0 else IN_SIGHT
