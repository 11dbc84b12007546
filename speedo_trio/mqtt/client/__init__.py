"""A client of MQTT, for the command and for bridges. Begin at `speedo_trio.mqtt.client.client`."""
