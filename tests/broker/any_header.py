"""Sends a record with any bytes as a header's name: Kafka and librdkafka take them, confluent_kafka does not."""

import ctypes

from confluent_kafka import cimpl

_PRODUCER = 0
_CONF_OK = 0
_END, _TOPIC, _PARTITION, _VALUE, _MSGFLAGS, _HEADER = 0, 1, 3, 4, 7, 9  # rd_kafka_vtype_t
_COPY = 2  # RD_KAFKA_MSG_F_COPY
_ERROR_BYTES = 512


def send_with_header(kafka: str, topic: str, partition: int, name: bytes, *values: bytes) -> None:
    """Append records with one header each, and wait until the broker has them."""
    lib = ctypes.CDLL(cimpl.__file__)  # It is linked with librdkafka, so its functions are found through it.
    pointer, number, text, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
    lib.rd_kafka_conf_new.restype = lib.rd_kafka_new.restype = pointer
    error = ctypes.create_string_buffer(_ERROR_BYTES)
    conf = pointer(lib.rd_kafka_conf_new())
    assert lib.rd_kafka_conf_set(conf, b"bootstrap.servers", kafka.encode(), error, size(_ERROR_BYTES)) == _CONF_OK
    client = pointer(lib.rd_kafka_new(number(_PRODUCER), conf, error, size(_ERROR_BYTES)))
    assert client.value, error.value
    for value in values:
        failed = lib.rd_kafka_producev(
            client,
            *(number(_TOPIC), text(topic.encode())),
            *(number(_PARTITION), ctypes.c_int32(partition)),
            *(number(_MSGFLAGS), number(_COPY)),
            *(number(_VALUE), text(value), size(len(value))),
            *(number(_HEADER), text(name), text(b"v"), ctypes.c_ssize_t(1)),
            number(_END),
        )
        assert not failed
    assert not lib.rd_kafka_flush(client, number(10_000))
    lib.rd_kafka_destroy(client)
