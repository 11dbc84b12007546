"""Tests of `speedo_trio.mqtt.security`."""
