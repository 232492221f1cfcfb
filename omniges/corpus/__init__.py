"""A corpus in BEAT2's layout that the project makes by itself; gestures follow speech by a known share."""
