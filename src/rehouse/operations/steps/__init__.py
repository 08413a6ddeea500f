"""The steps of the verbs: survey, provision, copy, verify, flip, sweep, and the steps of a rollback."""
