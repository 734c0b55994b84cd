"""A whole deployment in memory, for tests: processor, exporter, store, views and senders without a Kafka.

The rules, the codec, the worker, the store and the view are the real ones; only the log is in memory. What is sent is
processed at once, in the caller's thread.

`deployment.py` has it all; `replica.py` is one replica of the service, with what `erasing.py` and `corner.py` need of
the log in `log.py`.

with MemoryDeployment(tmp_path) as deployment, TestClient(make_app(deployment.context())) as http:
    http.post("/v1/sessions", json={"user_id": "elias01"})
"""

from processor.in_memory.deployment import MemoryDeployment as MemoryDeployment
from processor.in_memory.log import TOPICS as TOPICS
from processor.in_memory.replica import Replica as Replica
