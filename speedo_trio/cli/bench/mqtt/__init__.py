"""The load of ``trio-speedo bench mqtt://…``: publishers and subscribers.

In reading order: `shape`, `stamp`, `numbers` have no I/O; `bout` is what all share, `peer` a
connection, `publisher` and
`subscriber` are the two kinds, `load` is all of them; `report` tells.
"""
