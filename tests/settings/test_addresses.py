"""What is left of an address when people see it."""

import pytest

from processor.settings.addresses import masked


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:SECRET@h:5432/db", "postgresql://[redacted]@h:5432/db"),
        ("postgresql://u:SEC/RET@h/db", "postgresql://[redacted]@h/db"),
        ("postgresql://u:SEC@RET@h/db", "postgresql://[redacted]@h/db"),
        ("https://SECRET@h/db", "https://[redacted]@h/db"),
        ("postgresql://h/db?passwrd=SECRET&user=u", "postgresql://h/db?passwrd=[redacted]&user=[redacted]"),
        ("abfs://c@acct/x?sas=SECRET", "abfs://[redacted]@acct/x?sas=[redacted]"),
        ("dask::ftp://u:SECRET@h/x", "dask::ftp://[redacted]@h/x"),
        ("a s3://k:SECRET@b/x and 'ftp://u:SECRET@h/y'", "a s3://[redacted]@b/x and 'ftp://[redacted]@h/y'"),
        ("file:///home/a@b/x", "file:///home/a@b/x"),
        ("sqlite:////data/a@b.db", "sqlite:////data/a@b.db"),
        ("http://h:8080/x", "http://h:8080/x"),
        ("see mia@example.org? yes=no", "see mia@example.org? yes=no"),
    ],
)
def test_no_secret_is_left(address: str, shown: str) -> None:
    """Login and values of the query go, wherever the URL stands; the rest stays as it is."""
    assert masked(address) == shown
