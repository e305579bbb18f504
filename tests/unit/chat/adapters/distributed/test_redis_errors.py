"""What is done about an error reply, as redis-py hands it over."""

from __future__ import annotations

import hiredis
import pytest
from redis._parsers.hiredis import _AsyncHiredisParser
from redis.exceptions import ResponseError

from chat.adapters.distributed.redis_errors import Remedy, code_of, remedy_for


def as_redis_py_reads_it(reply: str) -> ResponseError:
    reader = hiredis.Reader(replyError=_AsyncHiredisParser.parse_error)
    reader.feed(f"-{reply}\r\n".encode())
    error = reader.gets()
    assert isinstance(error, ResponseError)
    return error


@pytest.mark.parametrize(
    ("reply", "remedy"),
    [
        ("MOVED 1 a:1", Remedy.REDIRECT),
        ("MOVED 1 :1", Remedy.REDIRECT),
        ("ASK 1 a:1", Remedy.WAIT),
        ("NOSCRIPT No matching script", Remedy.WAIT),
        ("READONLY You can't write against a read only replica.", Remedy.WAIT),
        ("MASTERDOWN Link with MASTER is down", Remedy.WAIT),
        ("CLUSTERDOWN The cluster is down", Remedy.WAIT),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Remedy.WAIT),
        ("BUSY Redis is busy running a script", Remedy.WAIT),
        ("OOM command not allowed", Remedy.REFUSE),
        ("NOPERM this user has no permissions", Remedy.REFUSE),
        ("WRONGTYPE Operation against a key", Remedy.REFUSE),
        ("ERR unknown command", Remedy.REFUSE),
        ("", Remedy.REFUSE),
    ],
)
def test_each_error_has_a_remedy_and_a_code(reply: str, remedy: Remedy) -> None:
    error = as_redis_py_reads_it(reply)
    assert remedy_for(error) is remedy
    assert code_of(error) == reply.partition(" ")[0]
