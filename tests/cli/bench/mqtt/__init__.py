"""Tests of the load on brokers."""
