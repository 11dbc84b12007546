"""The commands ``pub`` and ``sub``. Begin at `speedo_trio.cli.pubsub.command`."""
