"""Why an interface could not be set up, or not be taken down."""


class InterfaceError(OSError):
    """An interface could not be set up, or not be taken down; the text is for a person."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class InterruptedPlanError(InterfaceError):
    """A signal asked to end, and everything was undone."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number
        self.status = 128 + number
        """That of a process which the signal ended, as a shell tells it."""
