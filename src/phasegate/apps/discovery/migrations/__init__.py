"""What a database has to go through to get the tables of the discovery application, in order."""
