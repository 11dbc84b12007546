"""MQTT brokers side by side: `python -m benchmarks.mqtt`. `README.md` beside it says how."""
