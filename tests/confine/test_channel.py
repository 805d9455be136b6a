"""How a child tells why it ends."""

from __future__ import annotations

from wirewright.confine.channel import Complaint
from wirewright.confine.errors import CANNOT_RUN, ConfineError


def test_the_first_that_is_said_is_heard_when_the_child_has_ended() -> None:
    complaint = Complaint()
    assert complaint.error() is None
    complaint.write(ConfineError("first", CANNOT_RUN))
    complaint.write(ConfineError("second"))
    assert not complaint.is_over()
    complaint.close_writing()
    error = complaint.error()
    assert error is not None
    assert (str(error), error.status, complaint.is_over()) == ("first", CANNOT_RUN, True)
