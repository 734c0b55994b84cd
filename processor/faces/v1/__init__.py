"""The session API, `/v1`: one file for each kind of thing that is read or done."""
