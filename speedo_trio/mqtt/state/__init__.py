"""What an MQTT server remembers and does, packet by packet, without I/O, tasks or a clock.

A reading order. `capabilities` says what a server offers; `publication` and `terms` are what goes
through the exchange. `flights` and `backlog` say what becomes of a message, `aliases` what is short
for its topic; `outgoing` sends to a client over a `line`, and a `crowd` is who waits for it to take
that, with what of their packets is for `later`; `incoming` keeps account of what a client sends. A
`session` has both, `sessions` has all of these, and `outside` is who runs it all. `asks` are
decisions of others; `answers` and `handshake` make packets; `machine` is one connection,
`connecting`, `publishing` and `subscribing` say what packets do to it, and a `client` is how its
host runs it.

Clauses in brackets are cited as in `speedo_trio.mqtt.wire`.
"""
