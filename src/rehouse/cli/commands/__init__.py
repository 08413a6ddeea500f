"""The commands, a file each: what a command takes, its text for people, and its JSON."""
