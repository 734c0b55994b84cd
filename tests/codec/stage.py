"""A message with all that every message has, and its tag."""

from processor.core.model import (
    Tagged,
)

SPINE = {
    "schema_version": "1.0.1",
    "record_id": "07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df56",
    "user_id": "elias01",
    "timestamp": 1_749_990_896_789,
    "performer_id": "carer01",
    "modality": None,
    "source": "ui",
    "capture_id": None,
    "session_id": "c",
    "extra": '{"x": 1.50, "user_id": "not this"}',
}


TAG = Tagged("sess_20250615_123456_0123456789abcdef", 3, 1_750_000_000_123, 0, 1_750_000_000_123, bytes(32), True)
PLAIN = {**SPINE, "modality": "gesture", "capture_id": "0f4b5a3c-9a53-4f25-8d59-0c7e3d6e1a2b"}
EXTRAS = {  # what upstream writes there is its own; and whether it is taken for an object
    '{"transcript":"\\ud83d\\ude00"}': True,
    '{"transcript":"\\ud83d"}': False,
    '{"\\ud83d":1}': False,
    '{"x":NaN}': False,
    '{"x":1e999}': True,
    '{"x":%s}' % ("9" * 5_000): True,
    '{"x":%s}' % ("[" * 255 + "]" * 255): True,
    '{"x":%s}' % ("[" * 256 + "]" * 256): False,
    '{"x":%s}' % ("[" * 900 + "]" * 900): False,
    '["transcript"]': False,
    "{": False,
}
