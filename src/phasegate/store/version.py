"""The version of the schema that this code reads and writes: the last migration."""

VERSION_TABLE = "phasegate_version"
HEAD = "0001"
