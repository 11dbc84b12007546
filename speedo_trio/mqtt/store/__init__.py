"""The durable store: what outlasts the process, and how it is written down.

`batch` and `contract` say what a store is asked to keep; `sqlite` keeps it. `ledger` notes what
changes, `keeper` has it written by one `writer`, and lets answers go when it is.
"""
