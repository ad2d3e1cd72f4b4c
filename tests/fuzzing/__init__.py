"""Mutated inputs of every kind that the program reads, made from valid ones, the same for the same seed.

``python -m fuzzing KIND FIRST COUNT`` (with the folder of the tests on the path) runs the cases FIRST to FIRST + COUNT - 1 of a
kind. Each may end with a result or a FerengineError. Anything else ends the process with the case's number on standard output:
another exception, a crash, a hang, or memory that grows.
"""
