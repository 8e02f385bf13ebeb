"""Why the stack cannot run, worded for the person at the terminal."""


class StackError(Exception):
    """The message says what is the case and what to do next."""

    exit_code = 2


class PartFailed(StackError):
    """A part ended before it was ready, or never became ready."""

    exit_code = 1

    def __init__(self, name: str, reason: str, log: str) -> None:
        self.name, self.log = name, log
        super().__init__(f"{name} {reason}")
