"""Tests of `speedo_trio.cli.bench`."""
