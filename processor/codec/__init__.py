"""Record bytes to the core's values and back: the three encodings, tags, events, state. Schemas are handed in."""

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
