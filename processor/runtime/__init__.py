"""The processor without a Kafka client: everything here runs in a unit test."""
