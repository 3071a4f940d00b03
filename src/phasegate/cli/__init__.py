"""The command line: generic commands for any flow, and the door to each application's own."""
