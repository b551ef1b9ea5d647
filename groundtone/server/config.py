"""The `server` section of groundtone.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ServerConfig(BaseModel):
    """Where the server listens, whom it lets in, and how much it takes on."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; beyond this machine only with keys.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    auth: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether a key is asked for: `auto` does once `groundtone serve keys add` has made one; `never` "
        "accepts anything as a key.",
    )
    groups: list[str] = Field([], description="Groups of callers without a key, while none is asked for.")
    requests_per_minute: int = Field(0, ge=0, description="Requests that one key may make per minute; 0: no limit.")
    max_body_kb: int = Field(1024, ge=1, description="Longest request, in KiB.")
    max_tokens: int = Field(512, ge=1, description="Longest reply that a client may ask for, in tokens.")
    max_running: int = Field(32, ge=1, le=512, description="Requests that are worked on at once.")
    max_waiting: int = Field(64, ge=0, description="Requests that wait for their turn; further ones get 429.")
    timeout_s: float = Field(120, gt=0, description="Longest time for one request, waiting included, in seconds.")
    body_timeout_s: float = Field(10, gt=0, description="Longest time for a client to send its request, in seconds.")
    send_timeout_s: float = Field(30, gt=0, description="Longest time for a client to take one piece, in seconds.")
    shutdown_s: int = Field(20, ge=1, description="How long requests may go on when the server is stopped, in seconds.")
    batching: bool = Field(True, description="Write the replies of local models together, row by row.")
