"""Which dead letters a retry puts back, and why the others stay."""

from processor.kafka.deadletters.letter import DeadLetter
from processor.kafka.deadletters.retrying import choose
from processor.kafka.topics.desired import Topic

RAW = Topic("a3cp.raw", 4, 1, {"max.message.bytes": "1000"})
WAITING = DeadLetter(
    "a3cp.dlq[1]@5",
    "a3cp.raw[1]@9",
    1,
    None,
    0,
    "decode",
    "DecodeError",
    "it is no JSON",
    20,
    120,
    "",
    None,
    None,
    None,
)
AGAIN = WAITING._replace(position="a3cp.dlq[1]@6", retry_of="a3cp.dlq[1]@2")
OTHERS = [WAITING._replace(withheld="raw media"), WAITING._replace(retried_ms=7)]


def test_only_those_that_wait_go_back():
    """Withheld and retried ones stay, and those that failed again unless they are asked for."""
    choice = choose([WAITING, AGAIN, *OTHERS], RAW, again=False, limit=None)
    assert choice == ([WAITING], [], {"withheld": 1, "failed again": 1, "retried": 1})
    choice = choose([WAITING, AGAIN, *OTHERS], RAW, again=True, limit=None)
    assert choice == ([WAITING, AGAIN], [], {"withheld": 1, "failed again": 0, "retried": 1})
    assert choose([WAITING, AGAIN], RAW, again=True, limit=1).going == [WAITING]


def test_what_the_topic_does_not_take_is_refused():
    """A letter of a partition that is gone, or larger than the topic takes, is told with the reason."""
    letters = [WAITING._replace(partition=4), WAITING._replace(record_bytes=1001)]
    choice = choose(letters, RAW, again=False, limit=None)
    assert [(letter, why.partition(" ")[0]) for letter, why in choice.refused] == [
        (letters[0], "of"),
        (letters[1], "larger"),
    ]
    assert not choice.going
