"""mqttd's broker, as `MQTTApp().run()` has it."""

from __future__ import annotations

from mqttd import MQTTApp

from benchmarks.peers.terms import HOST, port_argument

if __name__ == "__main__":
    MQTTApp(host=HOST, port=port_argument()).run()
