"""`start_connector.py CONNECT_URL`: what docker-compose.yml's profile `debezium` runs once, in the producer's image.

Makes the publication where there is none, and puts the connector. May be run again.
"""

import json
import os
import subprocess
import sys
from typing import Any
from urllib.request import Request, urlopen

import psycopg


def debezium_config(what: str) -> str:
    command = [sys.executable, "-m", "producer", "debezium-config", what]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def make_publication(name: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as database:
        if database.execute("SELECT FROM pg_publication WHERE pubname = %s", (name,)).fetchone() is None:
            database.execute(debezium_config("setup").encode())
            print(f"made the publication {name}")


def put(url: str, connector: dict[str, Any]) -> None:
    body = json.dumps(connector["config"]).encode()
    request = Request(f"{url}/connectors/{connector['name']}/config", body, method="PUT")
    request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=60) as answer:
        print(f"{answer.status} {connector['name']}")


if __name__ == "__main__":
    connector = json.loads(debezium_config("connector"))
    make_publication(connector["config"]["publication.name"])
    put(sys.argv[1], connector)
