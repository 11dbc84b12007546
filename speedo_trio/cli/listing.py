"""The list of protocols, as text."""

from __future__ import annotations

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.protocols import Offer, load, offers
from speedo_trio.logs.text import printable


def protocol_list() -> str:
    """A line for each protocol that has a name: the name, where it comes from, what it does."""
    offered = offers()
    shipped = {offer.name for offer in offered if offer.source == "shipped"}
    rows = [(offer.name, offer.source, _description(offer, shipped)) for offer in offered]
    names = max(len(name) for name, _, _ in rows)
    sources = max(len(source) for _, source, _ in rows)
    return "\n".join(
        printable(f"{name:<{names}}  {source:<{sources}}  {text}") for name, source, text in rows
    )


def _description(offer: Offer, shipped: set[str]) -> str:
    if offer.name in shipped and offer.source != "shipped":
        return f"hidden by the shipped protocol; serve it as {offer.target}"
    try:
        factory = load(offer.target)
    except Mistake as mistake:
        return f"broken: {mistake}"
    return (factory.__doc__ or "no description").strip().partition("\n")[0].replace("``", "")
