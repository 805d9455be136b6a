"""The revisions of the tables; once released, one is never changed."""
