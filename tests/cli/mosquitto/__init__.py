"""Tests of `speedo_trio.cli.mosquitto`."""
