"""Tests of `speedo_trio.testing`."""
