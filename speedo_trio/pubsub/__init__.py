"""Publish and subscribe, whatever the protocol: who gets what, without I/O, threads or a clock."""
