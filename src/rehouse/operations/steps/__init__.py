"""The steps that the verbs are made of: survey, provision, copy, verify, flip, sweep, and their way back."""
