"""How much work a schema makes: judged once, when it is loaded, so that no value has to be watched while it is read.

Anybody may register a schema. Nested records of nothing, or thousands of fields of null, are read without a byte of the
value. So what counts is a run: the readings between one byte of a value and the next.

A branch of a union, an item of an array and an entry of a map begin after a byte or take one, however many of them a
value has. In such a part, a run is at most `RUN_MAX` readings. A value itself begins only once: in it the runs may be
longer, by `READS_FREE` readings together. So the readings in a value of n bytes are at most

    READS_FREE + (n + 1) * (2 * RUN_MAX + 1)

since a run may go on from the end of a part to what follows it.
"""

from typing import Final, NamedTuple

from processor.codec.avroschema import PRIMITIVES, SchemaError, SchemaJson

RUN_MAX: Final = 8
READS_FREE: Final = 1_000


class _Work(NamedTuple):
    """The readings that one value of a type causes, up to the next part."""

    lead: int  # before its first byte
    trail: int  # after its last byte
    excess: int  # of the runs in between, by how much they are too long
    takes_bytes: bool

    def then(self, after: "_Work") -> "_Work":
        """Return the work of this value and one that follows it."""
        if not after.takes_bytes:
            return _Work(self.lead + (0 if self.takes_bytes else after.lead), self.trail + after.lead, *self[2:])
        if not self.takes_bytes:
            return after._replace(lead=self.lead + after.lead)
        excess = self.excess + _too_many(self.trail + after.lead) + after.excess
        return _Work(self.lead, after.trail, excess, True)

    @property
    def excess_of_all(self) -> int:
        """By how much its runs are too long, the first and the last among them."""
        return _too_many(self.lead) + self.excess + (_too_many(self.trail) if self.takes_bytes else 0)


def _too_many(reads: int) -> int:
    return max(0, reads - RUN_MAX)


_NOTHING: Final = _Work(1, 1, 0, False)
_BYTES: Final = _Work(0, 0, 0, True)


def check_work(schema: SchemaJson) -> None:
    """Refuse `schema`, in parsing canonical form, when its values can cause more work than they have bytes for.

    Raises:
        SchemaError: they can; or it defines a type twice, does not define one that it uses, or holds itself.
    """
    types = _Types()
    types.find(schema)
    for part, is_item in types.parts:
        work = types.measure(part)
        if is_item and not work.takes_bytes:
            raise SchemaError("it has an array whose items take no bytes")
        if work.excess_of_all:
            raise SchemaError(f"a part of it has more than {RUN_MAX} fields in a row that take no bytes")
    if types.measure(schema).excess_of_all > READS_FREE:
        raise SchemaError(f"it has more than {READS_FREE} fields that take no bytes")


class _Types:
    """The named types of one schema, and its parts: branches, items and entries."""

    def __init__(self) -> None:
        self.parts: list[tuple[SchemaJson, bool]] = []  # with whether it is an array's item
        self._defined: dict[str, SchemaJson] = {}
        self._measured: dict[str, _Work | None] = {}  # None while it is being measured

    def find(self, schema: SchemaJson) -> None:
        """Take note of all types and parts in `schema`."""
        if isinstance(schema, str):
            return
        if isinstance(schema, list):
            inner = schema
            self.parts += [(branch, False) for branch in schema]
        elif schema["type"] in ("array", "map"):
            is_item = schema["type"] == "array"
            inner = [schema["items" if is_item else "values"]]
            self.parts.append((inner[0], is_item))
        else:
            if schema["name"] in self._defined:
                raise SchemaError(f"it defines the type {schema['name']} twice")
            self._defined[schema["name"]] = schema
            inner = [field["type"] for field in schema.get("fields", ())]
        for one in inner:
            self.find(one)

    def measure(self, schema: SchemaJson) -> _Work:
        """Return the work of `schema`; that of a named type is reckoned once, however often it is mentioned."""
        if isinstance(schema, str):
            if schema in PRIMITIVES:
                return _NOTHING if schema == "null" else _BYTES
            return self._of_name(schema)
        if isinstance(schema, list) or schema["type"] in ("array", "map"):
            return _BYTES
        return self._of_name(schema["name"])

    def _of_name(self, name: str) -> _Work:
        if name in self._measured:
            known = self._measured[name]
            if known is None:
                raise SchemaError(f"the type {name} holds itself, so no value of it ends")
            return known
        schema = self._defined.get(name)
        if schema is None:
            raise SchemaError(f"it does not define the type {name}")
        self._measured[name] = None
        if schema["type"] == "enum" or schema.get("size"):
            work = _BYTES
        else:
            work = _NOTHING
            for field in schema.get("fields", ()):
                work = work.then(self.measure(field["type"]))
        self._measured[name] = work
        return work
