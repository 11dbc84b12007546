"""The command ``trio-speedo bench``: load on a running server, and how it answers.

In reading order: `plan`, `target`, `dialogue`, `flight`, `schedule`, `histogram` and `tally` have
no I/O; `connector` makes connections, `client` uses one, `load` is all clients; `report` and
`progress` tell. `command` is where it starts and `run` where the parts meet.
"""
