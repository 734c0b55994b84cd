"""The text beside a committed offset: marks come back as they were written, and other texts have none."""

from hypothesis import given
from hypothesis import strategies as st

from processor.kafka.committed.marks import Marks, is_ours, marks_in, with_marks
from processor.kafka.committed.origin import ids_in, text_of
from processor.runtime.adopting import Adopted
from processor.runtime.growing import Grown

OFFSETS = st.integers(0, 1 << 50)
MARKS = st.builds(
    Marks,
    late=st.none() | OFFSETS,
    grown=st.lists(st.builds(Grown, st.integers(1, 500), OFFSETS), max_size=4),
    adopted=st.none() | st.builds(Adopted, OFFSETS, OFFSETS, OFFSETS),
    lost=st.none() | st.tuples(OFFSETS, OFFSETS),
)
IDS = {"cluster": "4L6g3nShT-eMCtK--X86sw", "raw": "sVzl2dA0TnK5bJtVxUfYhA"}


@given(MARKS)
def test_marks_come_back(marks: Marks) -> None:
    """All of them, and the ids before them."""
    text = with_marks(text_of(IDS), marks)
    assert is_ours(text)
    assert marks_in(text) == marks._replace(grown=marks.grown or ())
    assert {role: ids_in(text)[role] for role in IDS} == IDS


def test_others_write_no_marks() -> None:
    """Nobody's text, an empty one and none at all."""
    assert [marks_in(text) for text in (None, "", "a3cpx late=1", "late=1 lost=1-2")] == [Marks()] * 4
