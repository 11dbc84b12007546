"""The arguments of ``trio-speedo pub`` and ``sub``: checked, and given to what does it.

Next: `speedo_trio.cli.pubsub.plan`, then `speedo_trio.cli.pubsub.run`.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from speedo_trio.cli.flags import checking
from speedo_trio.cli.pubsub.mqtt_flags import TEXTS
from speedo_trio.cli.pubsub.plan import PubPlan, SubPlan, check_pub, check_sub

_PUB_EPILOGUE = """Exit status: 0 the server has done it, 1 it could not be reached, refused it or
went away, 2 a mistake in the arguments, 130 interrupted by a signal."""

_SUB_EPILOGUE = """SIGINT or SIGTERM end it, and so does a reader of stdout that goes away. Exit
status: 0 what was asked for was done, 1 the server could not be reached, refused it or went away,
2 a mistake in the arguments, 3 --seconds were over before --count messages had come, 130 a signal
came before."""

_Text = Parameter(allow_leading_hyphen=True, show_default=False)  # -5 is a message
_NOTHING = PubPlan()
_ALL = SubPlan()


def pub(
    topic: str,
    message: Annotated[str | None, _Text] = None,
    /,
    *,
    plan: Annotated[PubPlan, Parameter(name="*")] = _NOTHING,
) -> int:
    """Publish messages under a topic; returns the exit status.

    Args:
        topic: What to publish under, such as sensors/kitchen.
        message: The message, as text.
    """
    check_pub(message, plan)
    from speedo_trio.cli.pubsub.publish import run_pub  # noqa: PLC0415  # it imports Trio

    return run_pub(topic, message, plan)


def sub(*filters: str, plan: Annotated[SubPlan, Parameter(name="*")] = _ALL) -> int:
    """Subscribe to topics and write the messages that come; returns the exit status.

    Args:
        filters: Topics, such as sensors/kitchen; + is for one level, # at the end for all that
            follow.
    """
    check_sub(filters, plan)
    from speedo_trio.cli.pubsub.subscribe import run_sub  # noqa: PLC0415  # it imports Trio

    return run_sub(filters, plan)


# Instead of the variables and the file, which are the server's.
pub_app: App = App(
    name="pub",
    usage="trio-speedo pub TOPIC MESSAGE|--file FILE|--lines [OPTIONS]",
    help_epilogue=_PUB_EPILOGUE,
    config=(checking(PubPlan, "url", *TEXTS),),
)
pub_app.default(pub)

sub_app: App = App(
    name="sub",
    usage="trio-speedo sub FILTER... [OPTIONS]",
    help_epilogue=_SUB_EPILOGUE,
    config=(checking(SubPlan, "url", "format", *TEXTS),),
)
sub_app.default(sub)
