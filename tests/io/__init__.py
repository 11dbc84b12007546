"""Tests of `speedo_trio.io`."""
