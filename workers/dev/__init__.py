"""`mpanel dev`: the whole stack on loopback, kept alive by one supervisor.

stack.py        what starts after what, what stops before what
supervisor.py   keeps parts alive (process.py: one child, bound.py: its wrapper)
postgres.py     how the servers are run, with temporal.py and schema.py
layout.py       who is told which address, key and port
folder.py       what outlives a stop, with ports.py and keys.py
screen.py       what the person at the terminal sees
"""
