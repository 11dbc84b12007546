"""A topic message: what a subscriber in the program gets.

Next: `speedo_trio.broker.broker`.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class TopicMessage:
    """What was published under a topic."""

    topic: str
    payload: bytes
    retain: bool = False
    """Whether it was retained, from before the subscription."""
