"""The systems that ours is compared with."""
