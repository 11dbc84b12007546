"""The brokers that are no programs by themselves, each started as its documentation tells.

They keep `benchmarks.peers.terms`, and run in Pythons that have nothing of this project but these
files.
"""
