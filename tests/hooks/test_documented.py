"""The receiver of docs/hooks.md does what the document says."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from processor.broker.probe import free_ports
from processor.errors import WebhookFailed
from processor.hooks.answers import answer_of
from processor.hooks.webhook import Webhook
from tests.patience import until

DOCUMENT = Path(__file__).parents[2] / "docs" / "hooks.md"


def test_the_receiver_of_the_document(tmp_path: Path) -> None:
    """It answers what is signed with its secret, and refuses the rest."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    (port,) = free_ports(1)
    environ = {**os.environ, "SECRET": "a secret", "PORT": str(port)}
    with (tmp_path / "log").open("wb") as log:
        receiver = subprocess.Popen([sys.executable, "-c", code], env=environ, stderr=log)
    try:
        until(lambda: _listens(port))
        payload: dict[str, object] = {"data": {"messages": [{}, {}]}}
        url = f"http://127.0.0.1:{port}/"
        answer = answer_of(Webhook(url, "a secret").send(payload, "id-1"))
        assert (answer.note, answer.tags) == ("2 messages", ("seen",))
        with pytest.raises(WebhookFailed, match="status 401"):
            Webhook(url, "another").send(payload, "id-2")
    finally:
        receiver.kill()
        receiver.wait()


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
