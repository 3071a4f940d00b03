"""The functions behind the phases of a discovery flow.

Long ones do a piece at a time: with the outcome ``more`` a phase is done again from where it stood, so that every piece is one
commit and a crash costs the piece under way.
"""
