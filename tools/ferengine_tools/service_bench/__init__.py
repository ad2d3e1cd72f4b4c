"""Measures the web service: what viewers cost the pipeline, and how old an image is when a browser shows it."""
