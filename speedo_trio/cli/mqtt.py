"""The commands ``trio-speedo mqtt …``, which are about the MQTT broker."""

from __future__ import annotations

from cyclopts import App

app: App = App(name="mqtt", config=())
app.command(
    "speedo_trio.cli.mosquitto.command:app",
    name="import-mosquitto",
    help="Translate a configuration of mosquitto.",
)
