"""What one replica of the service knows: states in memory, the latest records, the store for the rest."""
