"""The guard: counts the work of a message, so that a change that adds to it is seen.

`python -m benchmarks.guard`; `benchmarks/README.md` tells more.
"""
