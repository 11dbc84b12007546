"""Bridges to other brokers of MQTT. Begin at `speedo_trio.mqtt.bridging.settings`."""
