"""What a command tells its user in one line, with an exit status of 1."""


class UserError(Exception):
    """A file, an option or an installation is not as a command needs it."""
