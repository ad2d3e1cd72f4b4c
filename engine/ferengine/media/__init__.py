"""Snapshots and clips of what happens: a few seconds of video before and after an event."""
