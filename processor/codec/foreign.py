"""Framings of schema registries that are not read, told for what they are: by first bytes, or by a record's headers.

Sources: confluent_kafka.schema_registry 2.16 (GUID, headers); the serializers of Apicurio and of AWS Glue; Azure's SDK.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from processor.errors import DecodeError

_PREFIX: Final = "let the producer write the schema's id of 4 bytes before the value (00, then the id)"
_CONFLUENT: Final = f"{_PREFIX}: PrefixSchemaIdSerializer in Java, prefix_schema_id_serializer in Python"
_APICURIO: Final = f"{_PREFIX}: apicurio.registry.as-confluent=true and no apicurio.registry.headers.enabled"
_OTHER: Final = f"{_PREFIX}, or plain JSON"


class _Framing(NamedTuple):
    what: str
    remedy: str


_HEADERS: Final = {
    "__value_schema_id": _Framing("Confluent's header __value_schema_id", _CONFLUENT),
    "apicurio.value.globalId": _Framing("Apicurio's header apicurio.value.globalId", _APICURIO),
    "apicurio.value.contentId": _Framing("Apicurio's header apicurio.value.contentId", _APICURIO),
    "apicurio.value.contentHash": _Framing("Apicurio's header apicurio.value.contentHash", _APICURIO),
}
_GUID_BYTES: Final = 17  # 01, then 16 bytes
_GLUE_BYTES: Final = 18  # 03, how it is packed (00 or 05), then 16 bytes


def framing_in_headers(names: Iterable[str]) -> DecodeError | None:
    """Return what is wrong with a record whose schema stands in one of the headers `names`; None when none does."""
    for name in names:
        if (framing := _HEADERS.get(name)) is not None:
            return DecodeError(f"value's schema stands in {framing.what}, which is not read", remedy=framing.remedy)
    return None


def foreign_framing(value: bytes) -> DecodeError | None:
    """Return what is wrong with a `value` that begins as another registry's values do; None when it does not."""
    if value[0] == 1 and len(value) >= _GUID_BYTES:
        return DecodeError("value begins with 01, as before a schema's GUID, which is not read", remedy=_CONFLUENT)
    if value[:2] in (b"\x03\x00", b"\x03\x05") and len(value) >= _GLUE_BYTES:
        return DecodeError(
            f"value begins with {value[:2].hex()}, as AWS Glue frames it, which is not read", remedy=_OTHER
        )
    return None


def unknown_id(schema_id: int) -> tuple[str, str]:
    """Return what is wrong with a value whose `schema_id` the registry does not know, and what to do."""
    if schema_id == 0:
        return "value has schema id 0, as when ids have 8 bytes, Apicurio's default; 4 bytes are read", _APICURIO
    return (
        f"value has schema id {schema_id}, which the registry does not know",
        "register the schema, then replay the dead letter",
    )
