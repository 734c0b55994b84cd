"""How a running process does, for people and programs outside of it: logs, metrics, health, spans."""
