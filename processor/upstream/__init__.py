"""What A3CP's modules mean: one typed reading of a message, words for people."""
