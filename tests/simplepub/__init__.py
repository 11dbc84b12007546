"""Tests of `speedo_trio.simplepub`."""
