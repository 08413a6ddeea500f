"""Floor 0: decisions without I/O, without a clock and without a third-party import."""
