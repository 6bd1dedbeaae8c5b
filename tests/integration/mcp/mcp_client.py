"""Calls tools of `millpond mcp`, and prints the answers as JSON; runs in the environment of the server."""

import json
import os
import sys
from typing import Any

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

python, *_ = sys.argv[1:]


async def main() -> None:
    server = StdioServerParameters(
        command=python, args=["-m", "millpond.cli.main", "mcp"], env=dict(os.environ)
    )
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        started = await session.initialize()
        tools = (await session.list_tools()).tools
        told: list[Any] = [
            {"server": started.serverInfo.name, "tools": {t.name: t.annotations.readOnlyHint for t in tools}}
        ]
        for name, arguments in json.load(sys.stdin):
            answer = await session.call_tool(name, arguments)
            text = [part.text for part in answer.content]
            told.append({"error": answer.isError, "text": text, "value": answer.structuredContent})
        print(json.dumps(told))


anyio.run(main)
