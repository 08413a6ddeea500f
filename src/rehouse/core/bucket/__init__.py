"""A tenant bucket as data: its specification, the documents of its settings, and its drift from the specification."""
