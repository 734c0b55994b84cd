"""Record bytes to the core's values and back: the three encodings, tags, events, state. Schemas are handed in.

`codec.py` is what others use. It chooses an encoding by `wire.py`, and hands on to `avro.py` or `jsontext.py`.

Avro. `avroreading.py` compiles readers from a schema, `avroshort.py` is their short way, `avrowriting.py` writes.
`schema.py` knows the schemas, `avroschema.py` their fingerprints, `schemawork.py` how much work one may make,
`layouts.py` how values of one are read, `remembered.py` what was asked last.

JSON. `jsonconforming.py` is the short way, `jsonmembers.py` finds members in a text, `jsonvalue.py` reads all of one,
`jsonfaults.py` says what is wrong with one.

For every encoding. `spine.py` makes a message or a command of fields, `oddities.py` says what is odd about them,
`isotime.py` reads times. `events.py` has session events, `tagged.py` tagged messages, `state.py` states, `headers.py`
and `traces.py` headers. `formats.py` and `foreign.py` name what is none of the three encodings.
"""

from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.codec.schema import SHIPPED, Schemas, SchemaSource
from processor.codec.state import decode_state, encode_state, session_ids
from processor.codec.tagged import TaggedView
from processor.codec.wire import AVRO, CONFLUENT, ENCODING_NAMES, JSON, encoding_of

__all__ = [
    "AVRO",
    "CONFLUENT",
    "ENCODING_NAMES",
    "JSON",
    "SHIPPED",
    "Codec",
    "EventView",
    "SchemaSource",
    "Schemas",
    "TaggedView",
    "decode_state",
    "encode_state",
    "encoding_of",
    "session_ids",
]
