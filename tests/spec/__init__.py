"""Tests of the executable specification: against the RFCs, real packets, and its own promises."""
