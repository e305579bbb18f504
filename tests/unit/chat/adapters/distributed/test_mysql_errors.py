"""What an error means for a retry."""

from __future__ import annotations

import pytest
from asyncmy import errors

from chat.adapters.distributed.mysql_errors import Verdict, code_of, verdict_of


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (1205, Verdict.NOT_DONE),
        (1213, Verdict.NOT_DONE),
        (1040, Verdict.UNREACHABLE),
        (2003, Verdict.UNREACHABLE),
        (1927, Verdict.IN_DOUBT),
        (2006, Verdict.IN_DOUBT),
        (2013, Verdict.IN_DOUBT),
        (1969, Verdict.IN_DOUBT),
        (1290, Verdict.UNABLE),
        (1045, Verdict.UNABLE),
        (1114, Verdict.UNABLE),
    ],
)
def test_errors_of_the_server_are_judged(code: int, verdict: Verdict) -> None:
    error = errors.OperationalError(code, "why")
    assert code_of(error) == code
    assert verdict_of(error) is verdict


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), EOFError()])
def test_a_connection_that_ends_leaves_doubt(error: Exception) -> None:
    assert verdict_of(error) is Verdict.IN_DOUBT


def test_a_driver_that_lost_track_leaves_doubt() -> None:
    assert verdict_of(errors.InternalError("Packet sequence number wrong")) is Verdict.IN_DOUBT
    assert verdict_of(errors.InterfaceError(0, "Cancelled during execution")) is Verdict.IN_DOUBT


@pytest.mark.parametrize(
    "error", [errors.ProgrammingError(1064, "syntax"), errors.DataError(1406, "too long"), KeyError(1213)]
)
def test_bugs_and_bad_data_are_no_fault_of_the_server(error: Exception) -> None:
    assert verdict_of(error) is None
