"""The rules of sessions as pure functions: same input, same output, always."""
