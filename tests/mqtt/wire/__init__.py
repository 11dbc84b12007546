"""Tests of `speedo_trio.mqtt.wire`."""
