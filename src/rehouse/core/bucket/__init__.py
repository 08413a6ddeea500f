"""A tenant bucket as data: its specification, the documents of its settings, and the drift between the two."""
