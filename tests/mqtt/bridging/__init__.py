"""Tests of `speedo_trio.mqtt.bridging`."""
