"""The store on SQL databases: one set of tables, one file for what each database does its own way."""

from processor.store.opening import open_store

__all__ = ["open_store"]
