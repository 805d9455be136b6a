"""Why an interface could not be set up, or not be taken down."""


class InterfaceError(OSError):
    """An interface could not be set up, or not be taken down; the text is for a person."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class InterruptedPlanError(InterfaceError):
    """A signal asked to end: what was being set up was undone, or what was being taken down is."""

    def __init__(self, number: int, text: str, *, is_whole: bool = True) -> None:
        super().__init__(text)
        self.number = number
        self.is_whole = is_whole
        """Whether every step of it could be done."""
        self.status = 128 + number
        """That of a process which the signal ended, as a shell tells it."""
