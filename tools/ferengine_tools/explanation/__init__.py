"""Parts of ``ferengine explain``: attributions and their image."""
