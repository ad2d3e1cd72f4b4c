"""How much a face must look like that of a track to be the same one, by what its place says."""

from __future__ import annotations

ALIKE_AFTER_CUT = 0.8
"""Similarity from which a face after a cut is the one before it. Of random pairs of 2,600 ordinary faces 1.7 % are as alike as
0.7, 0.2 % as 0.8; after a cut another face at the place is as likely as the same one."""

ALIKE = 0.7
"""The same after more than ``_WHILE`` out of sight in one scene, where hardly ever another face is at the place. Measured of
two people of a crowd who came to one place: 0.48. From 0.75 on people of a crowd who were hidden for 0.7 and 2.5 s get new
ids."""

FAMILIAR = 0.5
"""The same after more than ``_BRIEFLY``, and where the tracker doubts itself: the place still speaks for it."""

_BRIEFLY, _WHILE = 0.5, 1.0
"""Seconds out of sight. A face that comes back sooner is the same whatever it looks like: it may still be half hidden."""

HALF_HIDDEN = 0.5
"""Similarity from which a face may be that of a track lost at its place: what comes out from behind something is half hidden at
first. Measured in the demo: 0.54 at half, 0.81 a fifth of a second later; between two people 0.06 on average."""

DOUBT = 0.3
"""Confidence below which a tracker may follow something else. Measured: at least 0.72 in 99 % of the frames without a cut;
across cuts 0.22 at most between unlike faces, but up to 0.74 between two frontal ones at one place and of one size."""

BROKEN = 0.2
"""Confidence below which a face that was there in the frame before must look as after a while out of sight. None of 484
corrections of real clips is below it (the quickest turn of a head: 0.28). Most jump cuts are, at similarities up to 0.71."""


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
    return FAMILIAR if lost_s > _BRIEFLY or confidence < DOUBT else 0.0
