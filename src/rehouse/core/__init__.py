"""The lowest layer: every decision, as pure functions.

No I/O, no clock, standard library only.
"""
