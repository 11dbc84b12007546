"""Security: who may come in and do what, from files. Hooks as any user could write them.

Begin at `speedo_trio.mqtt.security.hashes`.
"""
