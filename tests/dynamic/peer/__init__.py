"""A second wg-dynamic, small and blocking, to contradict ours, written from the protocol alone.

It imports nothing of ours, so that a mistake in our codec is not made twice.
"""
