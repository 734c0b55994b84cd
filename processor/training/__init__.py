"""The training data set."""
