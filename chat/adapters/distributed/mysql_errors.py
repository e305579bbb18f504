"""What an error of a server or a connection means for the work that met it.

Only `NOT_DONE` may be tried again whatever the work is. `IN_DOUBT` may be tried again if doing it twice is doing
it once. What is not in the table is a bug or bad data, and is never tried again.
"""

from __future__ import annotations

import enum

from asyncmy import errors


class Verdict(enum.Enum):
    """How far the work got, and whether another try is of use."""

    NOT_DONE = "not done"
    """It was rolled back, or the server never began; the server is well."""
    UNREACHABLE = "unreachable"
    """There is no connection, so it was not done."""
    IN_DOUBT = "in doubt"
    """The connection ended or the time was over: it may have been carried out."""
    UNABLE = "unable"
    """It was not done, and will not be until somebody helps: read-only, full, no access."""


_VERDICTS = {
    Verdict.NOT_DONE: (
        1205,  # lock wait timeout: the statement was rolled back, and the transaction is by us
        1213,  # deadlock: the transaction was rolled back
        1020,  # record has changed since last read (MariaDB with snapshot isolation)
        1412,  # table definition has changed, please retry transaction
    ),
    Verdict.UNREACHABLE: (
        *(2002, 2003, 2005),  # no connection
        *(1040, 1203, 1226),  # too many connections
        *(1129, 1130),  # host blocked, or not allowed
        2012,  # error in the handshake
    ),
    Verdict.IN_DOUBT: (
        *(2006, 2013, 2014, 2055),  # gone away, lost during query
        *(1152, 1158, 1159, 1160, 1161, 1184),  # aborted connection, network errors
        1053,  # shutdown in progress
        *(1317, 1927),  # killed: the query, the connection
        *(1969, 3024),  # statement timeout: MariaDB, MySQL
        *(4030, 4031),  # transaction or connection idle for too long: MariaDB, MySQL
        0,  # asyncmy: the connection was closed
    ),
    Verdict.UNABLE: (
        *(1290, 1792, 1836),  # read-only: this is no primary (any more)
        *(1044, 1045, 1049, 1142, 1698),  # access denied, no such database
        *(1146, 1054),  # no such table or column: not migrated yet
        *(1021, 1114, 1030, 1026, 1034, 1035, 1194, 1598),  # disk or binary log full, storage errors
        *(1037, 1038, 1041),  # out of memory
        1153,  # packet bigger than max_allowed_packet, which must be 16 MiB
    ),
}
_BY_CODE: dict[int | None, Verdict] = {code: verdict for verdict, codes in _VERDICTS.items() for code in codes}

DUPLICATE_KEY = 1062
DUPLICATE_COLUMN = 1060
NO_SUCH_TABLE = 1146
NO_SUCH_COLUMN = 1054
NO_CONNECTION = 2003
CONNECTION_LOST = 2013


def code_of(error: BaseException) -> int | None:
    """The number that the server or the driver gave an error."""
    code = error.args[0] if isinstance(error, errors.MySQLError) and error.args else None
    return code if isinstance(code, int) else None


def verdict_of(error: BaseException) -> Verdict | None:
    """None for an error that says something about the work, not about the server."""
    if isinstance(error, TimeoutError | OSError | EOFError):
        return Verdict.IN_DOUBT
    code = code_of(error)
    if isinstance(error, errors.InternalError):  # the driver lost track of the protocol
        return _BY_CODE.get(code, Verdict.IN_DOUBT)
    return _BY_CODE.get(code)
