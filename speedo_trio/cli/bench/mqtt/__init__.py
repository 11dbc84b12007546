"""The load of ``trio-speedo bench mqtt://…``: publishers and subscribers.

In reading order: `shape`, `stamp` and `numbers` have no I/O; `bout` is what all share, `peer` a
connection, `publisher` and `subscriber` its two kinds, `load` all of them; `report` tells.
"""
