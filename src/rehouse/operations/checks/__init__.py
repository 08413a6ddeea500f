"""The checks of doctor, one file for each part of the installation. They are independent and change nothing.

A check that fails does not stop the next one; checks that depend on it become "could not check". Only `probe`, which must be
asked for, writes, and only into a scratch bucket of its own.
"""
