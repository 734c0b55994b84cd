"""The embedded broker: a real Apache Kafka (KRaft, one node or three) without Docker and without Java installed.

It is for trying out, developing and testing: what this machine's disk loses is lost.
"""

from processor.broker.folder import BrokerInfo
from processor.broker.server import bootstrap_of_running, down, status, up

__all__ = ["BrokerInfo", "bootstrap_of_running", "down", "status", "up"]
