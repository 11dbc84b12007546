"""Tests of `speedo_trio.broker`."""
