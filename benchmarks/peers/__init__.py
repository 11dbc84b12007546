"""One small echo server per peer: `python -m benchmarks.peers.NAME PORT`."""
