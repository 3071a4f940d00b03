"""The phases of the outreach flow: each reads the rows of many companies at once, applies the pure rules to one company
after the other, and queues its writes for the commit that completes it.
"""
