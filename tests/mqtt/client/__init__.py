"""Tests of `speedo_trio.mqtt.client`."""
