"""Webhooks: another program is told over HTTP of what happened, and may answer."""
