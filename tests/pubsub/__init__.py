"""Tests of `speedo_trio.pubsub`."""
