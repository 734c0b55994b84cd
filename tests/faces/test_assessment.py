"""The session component as the service offers it."""

from pathlib import Path

from starlette.testclient import TestClient

from processor.faces.app import make_app
from processor.in_memory import MemoryDeployment
from processor.profiles import Pseudonyms, open_profiles

ADDRESS = "developer@example.com"


def test_an_address_is_given_back_after_a_restart(tmp_path: Path) -> None:
    """With a profile store; the topics have a pseudonym."""
    profiles = open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), None)
    with MemoryDeployment(tmp_path) as deployment:

        def service() -> TestClient:
            return TestClient(make_app(deployment.context(profiles=profiles)), base_url="http://localhost")

        created = service().post("/session/create", json={"user_id": ADDRESS}).json()
        assert created["user_id"] == ADDRESS
        assert service().get(f"/session/{created['session_id']}").json() == created
        records = [record for topic in deployment.broker.topics.values() for partition in topic for record in partition]
        assert records
        assert not any(ADDRESS.encode() in (part or b"") for record in records for part in record[2:4])
