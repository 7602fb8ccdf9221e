"""The one kind of error that is meant for the user."""


class UserError(Exception):
    """Something the user can mend: the message says what was wrong, what was expected and what to do, in one line.

    Commands print it and exit with code 2 (:func:`darts_pt.options.run_command`).
    """
