"""The command ``trio-speedo``: serve, check, protocols, bench, pub, sub.

Begin at `speedo_trio.cli.app`.
"""

from speedo_trio.cli.app import main as main

__all__ = ["main"]
