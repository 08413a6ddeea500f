"""Floor 3: the verbs, a file each, named as the command is named."""
