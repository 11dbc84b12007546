"""The commands ``trio-speedo mqtt …``, which are about the MQTT broker."""

from __future__ import annotations

from speedo_trio.cli.store.command import app

app.command(
    "speedo_trio.cli.mosquitto.command:app",
    name="import-mosquitto",
    help="Translate a configuration of mosquitto.",
)
