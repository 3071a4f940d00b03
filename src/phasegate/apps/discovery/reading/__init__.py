"""Reading inventory files of any kind, in pieces of bounded size that can be taken up again."""
