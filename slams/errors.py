"""Errors that speak to the person who runs the pipeline."""


class SlamsError(Exception):
    """An error a user can mend.

    The message is one or two sentences: it names the file, the configuration key or the
    station, says what is wrong with it, and says what to do. Rule scripts print it without a
    traceback; any other exception is a defect of SLAMS and keeps its traceback.
    """


class ConfigError(SlamsError):
    """A configuration key is missing, unknown, of the wrong type or out of range."""


class ArchiveError(SlamsError):
    """A raw file is truncated, of another product, or does not hold what was asked."""
