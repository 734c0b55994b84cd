"""The audit: proves from the topics alone that the processor did all that it should, and nothing twice."""
