"""The configurations that the embedded broker is started with, written anew for each start."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from processor.broker.cluster import Member

LISTENERS: Final = frozenset({"listeners", "advertised.listeners", "listener.security.protocol.map"})


def server_properties(folder: Path, member: Member, more: Mapping[str, str]) -> str:
    """Return the node's properties. Listeners in `more` are added to ours; its other properties go over ours."""
    lines = _ours(folder, member).splitlines()
    for name, value in more.items():
        mine = next((line for line in lines if name in LISTENERS and line.startswith(f"{name}=")), None)
        lines.append(f"{mine},{value}" if mine else f"{name}={value}")  # The last of two lines counts.
    return "\n".join(lines) + "\n"


def _ours(folder: Path, member: Member) -> str:
    copies = member.cluster.nodes
    in_sync, is_alone = max(1, copies - 1), copies == 1
    return f"""\
# Written by `a3cp broker up` at each start; a change here does not last.
process.roles=broker,controller
node.id={member.id}
controller.quorum.voters={member.cluster.voters}
listeners=PLAINTEXT://127.0.0.1:{member.port},CONTROLLER://127.0.0.1:{member.controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{member.port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder / "data"}

# Topics come from topics/*.yaml, never by a typing error.
auto.create.topics.enable=false
num.partitions=4

# As many copies as there are nodes.
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}

# A single node has none to hand its partitions to, and trying does harm: partitions without a leader count as deleted
# for the transaction coordinator, so it calls transactions complete whose markers it never wrote (Kafka 4.3.0).
controlled.shutdown.enable={"false" if is_alone else "true"}

# Small internal topics: 50 partitions each would only make start and stop slower.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1

# A node that stands still for this long loses its partitions; what that does to a single one is told above.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=9000

# Nothing to wait for when the members start together, and tests may use short sessions.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=200
# How often transactions whose time is up are looked for, so that readers do not wait ten seconds for a dead producer's.
# First so long after a start: sooner, partitions may be without a leader, which counts as deleted: see above.
transaction.abort.timed.out.transaction.cleanup.interval.ms=6000

# Above every topic's own limit, so that the topics' files alone decide.
message.max.bytes=4194304
replica.fetch.max.bytes=4194304
log.retention.hours=168
log.retention.check.interval.ms=60000
"""


def controller_properties(folder: Path, controller_port: int) -> str:
    return f"""\
# Written by `a3cp broker up` at each start but the first: the controller alone, until the last start has run out.
process.roles=controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT
log.dirs={folder / "data"}
broker.heartbeat.interval.ms=50
broker.session.timeout.ms=100
"""


LOG4J = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="${sys:a3cp.data}/broker.log" filePattern="${sys:a3cp.data}/broker.%i.log">
      <PatternLayout pattern="[%d] %p %m (%c{1})%n%throwable"/>
      <SizeBasedTriggeringPolicy size="10 MB"/>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
    <Logger name="kafka.authorizer.logger" level="${sys:a3cp.rights:-INFO}"/>
  </Loggers>
</Configuration>
"""
