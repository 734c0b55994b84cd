"""The only importer of the Kafka client: implements the log ports and turns its errors into ours."""
