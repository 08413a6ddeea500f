"""Objects one at a time, for the application: read, write, copy and delete them, and sign URLs for browsers."""
