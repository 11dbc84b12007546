"""The broker: publish and subscribe inside a program, and for the protocols it serves."""
