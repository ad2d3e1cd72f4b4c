"""Where results go: JSON lines, CSV, video files, a window, a live table.

Import sinks by module: each loads only the libraries that it needs.
"""
