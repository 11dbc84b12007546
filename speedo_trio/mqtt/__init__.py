"""An MQTT broker: MQTT 3.1, 3.1.1 and 5.0 on the house's own terms, as any user's protocol."""
