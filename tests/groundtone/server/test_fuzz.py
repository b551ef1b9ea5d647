"""schemathesis: whatever the OpenAPI document allows or forbids gets a documented answer, and never a 5xx."""

from __future__ import annotations

from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.groundtone.server.conftest import Served

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


QUIET = settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_every_request_gets_a_documented_answer(scripted: Served, mode: schemathesis.GenerationMode) -> None:
    operations = [
        found.ok() for found in schemathesis.openapi.from_url(f"{scripted.url}/openapi.json").get_all_operations()
    ]
    assert len(operations) >= 8
    for operation in operations:

        @QUIET
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: schemathesis.Case) -> None:
            response = case.call_and_validate(checks=CHECKS, timeout=30)
            assert response.status_code < 500

        with suppress(Unsatisfiable):  # an operation without parameters cannot be asked wrongly
            holds()
    assert scripted.ask()["choices"]
