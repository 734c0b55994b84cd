"""The error tree."""

from processor import errors


def test_a_message_says_what_and_what_to_do():
    """An error reads as what happened, then the remedy if there is one."""
    assert str(errors.UsageError("no such user")) == "no such user"
    assert str(errors.DecodeError("unknown schema id 7", remedy="register it")) == "unknown schema id 7; register it"


def test_the_tree_is_as_drawn():
    """The drawing at the top of errors.py names each class, beneath its parent."""
    drawing = errors.__doc__ or ""
    classes = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    for name, kind in classes.items():
        line = next(line for line in drawing.splitlines() if name in line.split() or line == name)
        depth = len(line.split(name)[0]) // 4
        assert len(kind.__mro__) == len(Exception.__mro__) + 1 + depth
