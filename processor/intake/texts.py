"""Cuts a file of JSON into the texts of its objects, however they are laid out.

One a line, pretty-printed, one after the other, in arrays, as RFC 7464's sequence, with commas between or after them:
what stands between objects is left out, and the bytes of each object stay as they are. Where an object is broken, the
next one is found again at a line that can only begin a new one.
"""

import re
from typing import Final, NamedTuple

from processor.intake.forms import Damaged

TEXT_BYTES_MAX: Final = 4 << 20  # of one object
START_BYTES: Final = 256  # kept of an object that is longer
DEPTH_MAX: Final = 100_000  # of brackets; no parser takes so many
BOM: Final = b"\xef\xbb\xbf"
SEPARATOR: Final = b"\x1e"  # RFC 7464's, before each text; it stands in no valid JSON
_BETWEEN: Final = re.compile(rb"(?:[ \t\r\n,\x1e]++|\xef\xbb\xbf)*+")
_ELEMENT: Final = re.compile(rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^"{}\[\],\x1e\r\n]++)++', re.DOTALL)
_TOKEN: Final = re.compile(rb'["{}\[\]\x1e]')
_STRING_END: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class Text(NamedTuple):
    """An object's text, or what is none."""

    number: int  # of the line where it begins, from 1
    value: bytes
    why: str | None = None  # what it is, when it can be no message


def bare(line: bytes) -> bytes:
    """Return `line` without what may stand around an object."""
    text = line.strip(b" \t\r\n,\x1e")
    return text if text[:1] == b"{" else text.removeprefix(BOM).lstrip(b" \t")


class Cutter:
    """Cuts the parts of one file, handed in one by one: its lines, very long ones in several parts."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # of the object that is not closed yet
        self._size = 0
        self._number = 0  # of the line where it begins
        self._brackets = bytearray()  # open in it
        self._in_string = False
        self._is_escaped = False  # whether the part before ended in an open string, after a backslash
        self._last = b""  # the last byte before the present line that is no white space
        self._arrays: list[int] = []  # lines of those that are open around objects

    @property
    def is_open(self) -> bool:
        """Whether an object is not closed yet."""
        return bool(self._parts)

    @property
    def names_a_user(self) -> bool:
        """Whether the line where the open object begins holds the field of a message."""
        return b'"user_id"' in b"".join(self._parts[:2])

    def may_go_on(self, line: bytes) -> bool:
        """Return whether the open object may go on with `line`, which begins with a brace or a separator."""
        if line.startswith(SEPARATOR):
            return False
        return self._last == b":" if self._brackets.endswith(b"{") else self._last in (b"[", b",")

    def give_up(self) -> Text:
        """Return the open object as far as it came."""
        whole, self._parts = b"".join(self._parts), []
        self._brackets.clear()
        self._in_string = self._is_escaped = False
        if self._size > TEXT_BYTES_MAX:
            return Text(self._number, whole, f"the message is longer than {TEXT_BYTES_MAX >> 20} MiB")
        return Text(self._number, whole.strip())

    def cut(self, number: int, part: bytes, *, is_start: bool, is_end: bool) -> list[Text]:
        """Return the objects that end in `part` of line `number`.

        A line that holds anything else outside of an array is told as a whole, and no object of it is taken.

        Raises:
            Damaged: more brackets are open than any file of messages has.
        """
        texts: list[Text] = []
        is_own = is_start and is_end and not self.is_open and not self._arrays
        pos = 0
        while pos < len(part):
            if self.is_open:
                pos = self._within(part, pos, texts)
                continue
            pos = _match_end(_BETWEEN, part, pos)
            byte = part[pos : pos + 1]
            if byte == b"{":
                self._number, self._size = number, 0
                self._parts.append(b"")
            elif byte == b"[":
                self._arrays.append(number)
                if len(self._arrays) > DEPTH_MAX:
                    raise _too_deep()
                pos += 1
            elif byte == b"]" and self._arrays:
                self._arrays.pop()
                pos += 1
            elif byte and is_own and not self._arrays:
                return [Text(number, part.strip())]
            elif byte:
                end = max(pos + 1, _match_end(_ELEMENT, part, pos))
                texts.append(Text(number, part[pos:end].strip()))
                pos = end
        if is_end:
            self._in_string = self._is_escaped = False  # No string goes on in the next line: the object is broken.
        if self.is_open and is_end:
            self._last = part.rstrip()[-1:] or self._last
        return texts

    def end(self, number: int) -> list[Text]:
        """Return what is not closed at the file's end, which is in line `number`."""
        texts = [self.give_up()] if self.is_open else []
        if self._arrays:
            why = f"the array of line {self._arrays[-1]} is not closed; the file may be cut off"
            texts.append(Text(number, b"", why))
        return texts

    def _within(self, part: bytes, pos: int, texts: list[Text]) -> int:
        """Follow the open object from `pos`, and return where it ends, or else the end of `part`."""
        start = pos
        while True:
            if self._in_string:
                pos += self._is_escaped
                found = _STRING_END.match(part, pos)
                if found is None:
                    rest = part[pos:]
                    self._is_escaped = (len(rest) - len(rest.rstrip(b"\\"))) % 2 == 1
                    break
                self._in_string, self._is_escaped, pos = False, False, found.end()
            token = _TOKEN.search(part, pos)
            if token is None:
                break
            pos, byte = token.end(), token[0]
            if byte == b'"':
                self._in_string = True
            elif byte in b"{[":
                self._brackets += byte
                if len(self._brackets) > DEPTH_MAX:
                    raise _too_deep()
            elif byte == SEPARATOR:
                self._keep(part[start : pos - 1])
                texts.append(self.give_up())
                return pos
            else:
                del self._brackets[-1:]
                if not self._brackets:
                    self._keep(part[start:pos])
                    texts.append(self.give_up())
                    return pos
        self._keep(part[start:])
        return len(part)

    def _keep(self, content: bytes) -> None:
        self._size += len(content)
        if self._size <= TEXT_BYTES_MAX:
            self._parts.append(content)
        else:
            self._parts = [b"".join(self._parts)[:START_BYTES] or content[:START_BYTES]]


def _match_end(form: re.Pattern[bytes], text: bytes, pos: int) -> int:
    found = form.match(text, pos)
    return pos if found is None else found.end()


def _too_deep() -> Damaged:
    return Damaged(f"more than {DEPTH_MAX} brackets are open")
