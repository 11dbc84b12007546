"""What is logged, and how it is written. Start reading at `speedo_trio.logs.event_log`."""
