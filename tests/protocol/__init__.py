"""Tests of `speedo_trio.protocol`."""
