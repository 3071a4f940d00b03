"""What a database has to go through to get the tables of the build application, in order."""
