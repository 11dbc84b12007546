"""Tests of `speedo_trio.cli.pubsub`."""
