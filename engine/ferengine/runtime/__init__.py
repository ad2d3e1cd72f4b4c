"""The engine's own side of the pipeline: starts and watches the workers, joins and delivers their results.

``supervisor`` is the loop, in a thread of the caller's process, and ``ending`` its last part; ``state`` is what all parts
share. ``topology`` holds the workers and what connects them, ``workers`` keeps them alive, ``cameras`` is what is known of
each camera and ``rings`` the shared memory of their frames. Records and scores meet in ``joiner``; ``delivery`` gives the
results to ``subscriptions`` and so to ``consumers``, with images on loan, and to the render workers (``output_workers``).
``push`` takes frames from the caller. ``metrics`` and ``health`` report.
"""
