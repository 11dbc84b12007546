"""The configuration of mosquitto, translated.

Begin at `speedo_trio.cli.mosquitto.conf`.
"""
