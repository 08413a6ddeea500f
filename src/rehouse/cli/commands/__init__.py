"""The commands, one file each: the options of a command, its text for people, and its JSON."""
