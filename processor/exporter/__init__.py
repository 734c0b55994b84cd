"""The exporter: from tagged messages and session events to the store, and from the store to bundles."""
