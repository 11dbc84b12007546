"""Tests of `speedo_trio.queue`."""
