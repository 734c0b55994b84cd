"""YAML that people write: a name that stands twice in one table is refused, where YAML's reader would take the last."""

from collections.abc import Hashable
from typing import Any

import yaml


def yaml_in(text: str) -> Any:
    """Return what `text` says.

    Raises:
        ValueError: it is no YAML, is nested too deeply, or has a name twice in a table.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # A safe one: see its base.
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError("it is no YAML" + (f", see line {mark.line + 1}" if mark else "")) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for name, _ in node.value:
            if isinstance(name, yaml.ScalarNode):
                if name.value in seen:
                    raise ValueError(f"{name.value} stands twice in one table, see line {name.start_mark.line + 1}")
                seen.add(name.value)
        return super().construct_mapping(node, deep)
