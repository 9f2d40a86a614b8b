"""The check of a data set: what is wrong with it, and what could be better."""
