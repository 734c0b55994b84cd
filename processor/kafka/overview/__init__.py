"""How things stand in a Kafka: for the commands, the checks and the operators' page."""
