"""The errors that are meant for the user."""


class UserError(Exception):
    """Something the user can mend: the message says what was wrong, what was expected and what to do, in one line.

    Commands print it and exit with code 2 (:func:`darts_pt.commands.command_line.run_command`).

    Attributes:
        said: whether another process of the run says it; None while no others are known.
    """

    said: bool | None = None


class Stopped(Exception):
    """The system or the user asked the run to stop, and it has saved itself; commands exit with 128 + the signal.

    Attributes:
        said: whether another process of the run says it; None while no others are known.
    """

    said: bool | None = None

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number
