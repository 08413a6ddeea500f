"""Floor 4: the command line translates, it never decides."""
