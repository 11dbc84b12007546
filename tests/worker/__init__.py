"""Tests of `speedo_trio.worker`."""
