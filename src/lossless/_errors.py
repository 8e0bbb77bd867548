"""The error that a command reports in one line, with the exit code 1."""


class UserError(Exception):
    """A problem with a file, an option or the installation."""
