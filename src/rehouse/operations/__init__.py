"""Floor 3: the verbs, one file each, named like its command."""
