"""The rights of ops/acl, given to the principals of a broker, and what the broker says of their use."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

FOLDER = Path(__file__).parents[2] / "ops" / "acl"
_LOGGED = re.compile(
    r"Principal = User:(\S+) is (Allowed|Denied) operation = (\w+) from host = \S+ on resource = (\w+):LITERAL:(\S+)"
)
_TYPES = {"topic": "Topic", "group": "Group", "transactional_id": "TransactionalId", "cluster": "Cluster"}


class Right(NamedTuple):
    """One operation that a principal may do."""

    principal: str
    kind: str
    name: str
    is_prefix: bool
    operation: str

    def serves(self, use: "Use") -> bool:
        """Whether this right, and no lesser one, is what allows `use`."""
        is_named = use.name.startswith(self.name) if self.is_prefix else use.name == self.name
        return is_named and (self.principal, _TYPES[self.kind], self.operation) == (
            use.principal,
            use.kind,
            use.operation,
        )

    def binding(self) -> AclBinding:
        """Return it as the admin client wants it."""
        pattern = ResourcePatternType.PREFIXED if self.is_prefix else ResourcePatternType.LITERAL
        kind = ResourceType["BROKER" if self.kind == "cluster" else self.kind.upper()]
        operation, allow = AclOperation[self.operation], AclPermissionType.ALLOW
        return AclBinding(kind, self.name, pattern, f"User:{self.principal}", "*", operation, allow)


class Use(NamedTuple):
    """What a principal wanted to do, and whether it might."""

    principal: str
    is_allowed: bool
    operation: str
    kind: str
    name: str


def rights() -> Iterator[Right]:
    """Yield all rights that the files give."""
    for file in sorted(FOLDER.glob("*.yaml")):
        told = yaml.safe_load(file.read_text("utf-8"))
        assert (told["apiVersion"], told["kind"]) == ("kafka.jikkou.io/v1", "KafkaPrincipalAuthorization")
        principal = told["metadata"]["name"].removeprefix("User:")
        for acl in told["spec"]["acls"]:
            assert (acl["type"], acl["host"]) == ("ALLOW", "*")
            resource = acl["resource"]
            is_prefix = {"PREFIXED": True, "LITERAL": False}[resource["patternType"]]
            for operation in acl["operations"]:
                yield Right(principal, resource["type"], resource["pattern"], is_prefix, operation)


def give(admin: AdminClient, given: list[Right]) -> None:
    """Let the broker know of rights."""
    for future in admin.create_acls([right.binding() for right in given]).values():
        future.result()


def take_back(admin: AdminClient, right: Right) -> None:
    """Let the broker forget a right."""
    bound = right.binding()
    which = AclBindingFilter(
        bound.restype, bound.name, bound.resource_pattern_type, bound.principal, bound.host, bound.operation,
        bound.permission_type,
    )  # fmt: skip
    for future in admin.delete_acls([which]).values():
        assert future.result()


def uses(log_file: Path) -> set[Use]:
    """Return what principals did and were refused, as the broker's log has it."""
    found = (_LOGGED.search(line) for line in log_file.read_text("utf-8", "replace").splitlines())
    return {Use(match[1], match[2] == "Allowed", match[3], match[4], match[5]) for match in found if match}
