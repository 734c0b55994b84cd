"""The topics as code: `desired.py` compares and connects to nothing, `admin.py` reads and makes them."""
