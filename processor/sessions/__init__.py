"""The read model: tagged messages and session events become rows."""
