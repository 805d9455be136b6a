"""Errors of the system in words."""


def words(error: BaseException) -> str:
    """Put an error into words for a person: of what it is, if it tells, and what was wrong."""
    if not isinstance(error, OSError):
        return f"unexpected {type(error).__name__}: {error}"
    if error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return error.strerror or str(error)
