"""MQTT packets and their bytes, both ways, for a server and a client, without I/O or a clock.

A reading order: `versions`, `reason_codes`, `properties` and `packets` say what there is;
`body` and `property_list` take a packet apart, `decoder` and `connect` make packets of bodies,
`reader` finds them in a stream; `fields`, `encoder` and `publish` make bytes of packets.

A clause in brackets such as [MQTT-3.1.2-3] is of MQTT 5.0, and of 3.1.1 too where that has the
same number for the same rule; [MQTT3-3.1.2-22] is of MQTT 3.1.1 only. MQTT 3.1 numbers no clauses.
"""
