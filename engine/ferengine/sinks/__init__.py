"""Where results go: JSON lines, video files, a window. Each part imports what it needs, so import them by
module."""
