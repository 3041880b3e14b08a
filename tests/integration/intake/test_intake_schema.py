"""Requests made from the intake's own OpenAPI document: no fault of ours, and every answer is as the document says."""

import asyncio
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from producer.intake.openapi import document
from tests.outbox.intake import Caller

OPERATIONS = [
    found.ok() for found in schemathesis.openapi.from_dict(document()).get_all_operations() if isinstance(found, Ok)
]
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_a_request_as_the_document_has_it_and_one_that_is_not_are_answered_as_the_document_says(
    runner: asyncio.Runner, caller: Caller, operation: Any, mode: GenerationMode
) -> None:
    @settings(
        max_examples=30,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(operation.as_strategy(generation_mode=mode))
    def answered_as_documented(case: Case[Any]) -> None:
        answer = runner.run(_sent(caller, case))
        # The document can't say which event belongs to which path, so most are refused as not valid.
        assert mode is GenerationMode.NEGATIVE or answer.status_code in (202, 400, 422)
        case.validate_response(answer, checks=CHECKS)

    answered_as_documented()


async def _sent(caller: Caller, case: Case[Any]) -> httpx.Response:
    options: dict[str, Any] = case.as_transport_kwargs(base_url="http://intake")
    # The names of requests, but for one.
    if "data" in options:
        options["content"] = options.pop("data")
    options.pop("cookies", None)
    options["headers"] = {**options["headers"], "Authorization": caller.http.headers["Authorization"]}
    return await caller.http.request(**options)
