"""The checks of doctor, a file for each part of the installation; each is independent and none changes anything.

A check that fails never stops the next one; what depends on it becomes "could not check". Only `probe` writes, into a scratch
bucket of its own, when it is asked to.
"""
