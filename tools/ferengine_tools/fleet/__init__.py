"""The placement of a fleet in simulated time."""
