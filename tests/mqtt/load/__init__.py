"""Load on a broker in a process of its own: clients in threads, and what they measure."""
