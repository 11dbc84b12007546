"""Tests of `speedo_trio.mqtt.state`."""
