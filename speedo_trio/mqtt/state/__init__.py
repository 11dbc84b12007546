"""What an MQTT server remembers and does, packet by packet, without I/O, tasks or a clock.

A reading order: `capabilities` says what a server offers; `publication` and `terms` what goes
through the exchange; `outside` what the machine needs of who runs it, and `asks` what it asks;
`flights` and `backlog` hold what is sent to a client, `outgoing` sends it and `incoming` keeps
account of what comes; a `session` has both, `sessions` has all of these; `client` is a connection.

Clauses in brackets are cited as in `speedo_trio.mqtt.wire`.
"""
