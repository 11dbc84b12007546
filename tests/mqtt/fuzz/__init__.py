"""A fuzzer of the broker: clients that send almost what they should, by the ten thousand.

`corpus` has packets, `streams` makes streams of them and spoils these, `worlds` are brokers
without a network, `rounds` lets the one have the other. `python -m tests.mqtt.fuzz` runs it.
"""
