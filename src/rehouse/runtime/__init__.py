"""The storage of an application: the documents of one tenant at a time, wherever a migration has them at the moment."""
