"""`mpanel demo --chaos`: the same orders on a calm day and on a very bad one.

All drawn things come from one seed: who buys when, what is killed when, and at which
call which provider misbehaves.
"""
