"""A report on recorded results: one HTML file with timelines, fractions, transitions, confidence, quality and drops."""
