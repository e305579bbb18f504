"""The client against a server that speaks the protocol, and misbehaves on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal

import pytest
import trio

from chat.client import (
    ClientClosed,
    ClientConfig,
    Edited,
    Event,
    HandshakeRefused,
    Message,
    PresenceChanged,
    ProtocolViolation,
    RemovedFromRoom,
    Room,
    RoomChanged,
    SessionEnded,
    State,
    Typing,
    Unrecovered,
    open_client,
)
from chat.domain.errors import Forbidden, Invalid, NotFound, Unauthenticated
from tests.support.scripted_chat import Peer, ScriptedChat, scripted_chat

FAST = ClientConfig(backoff_base_seconds=0.01, backoff_cap_seconds=0.05)
LIMIT = 20


@pytest.fixture
async def server() -> AsyncIterator[ScriptedChat]:
    async with scripted_chat() as server:
        yield server


async def take(room: Room, count: int) -> list[Event]:
    events: list[Event] = []
    with trio.fail_after(LIMIT):
        async for event in room.events():
            events.append(event)
            if len(events) == count:
                break
    return events


async def texts(room: Room, count: int) -> list[str]:
    found: list[str] = []
    with trio.fail_after(LIMIT):
        while len(found) < count:
            found.append((await anext(aiter(room))).text)
    return found


@pytest.mark.parametrize("encoding", ["cbor", "json"])
async def test_the_five_line_example_works_in_both_encodings(
    server: ScriptedChat, encoding: Literal["cbor", "json"]
) -> None:
    async with open_client(server.url, token="t", encoding=encoding) as client:
        assert client.user.name == "ada"
        room = await client.join("r")
        published = await room.publish("hello")
        assert published.seq == 1
        async for message in room:
            assert (message.name, message.text, message.seq) == ("ada", "hello", 1)
            assert message.time.year == 2023
            break


async def test_a_token_travels_in_hello_only(server: ScriptedChat) -> None:
    async with open_client(server.url, token="secret"):
        assert server.seen == [{"id": 0, "op": "hello", "token": "secret"}]


async def test_a_broken_connection_is_resumed_without_the_application(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t", config=FAST) as client:
        room = await client.join("r")
        await server.post("r", "1")
        assert await texts(room, 1) == ["1"]
        for number in range(2, 6):
            await server.drop()
            await server.post("r", f"{number}")
            await server.until(lambda number=number: server.hellos == number)  # type: ignore[misc]
            assert await texts(room, 1) == [f"{number}"]
        assert server.seen[-1]["since"] == {"epoch": "e1", "seq": 4}


async def test_changes_of_the_list_of_rooms_are_told_whether_a_room_is_followed_or_not(server: ScriptedChat) -> None:
    told: list[RoomChanged] = []
    async with open_client(server.url, token="t", on_room=told.append) as client:
        room = await client.join("r")
        about = {"push": "room", "kind": "private", "name": "Board", "title": "Board", "role": "member"}
        await server.push({**about, "room": "elsewhere"})
        await server.push({**about, "room": "r", "role": None})
        await server.post("r", "still followed")
        assert await texts(room, 1) == ["still followed"]
        assert [(item.room, item.title, item.role) for item in told] == [
            ("elsewhere", "Board", "member"),
            ("r", "Board", None),
        ]


async def test_publishes_are_repeated_with_their_keys_in_their_order(server: ScriptedChat) -> None:
    def lose_answers(peer: Peer, command: dict[str, Any]) -> Any:
        return "nothing" if command["op"] == "publish" and server.hellos == 1 else None

    server.hook = lose_answers
    numbers: dict[str, int] = {}
    async with open_client(server.url, token="t", config=FAST) as client:
        room = await client.join("r")

        async def publish(text: str) -> None:
            numbers[text] = (await room.publish(text)).seq

        async with trio.open_nursery() as nursery:
            for index in range(10):
                nursery.start_soon(publish, f"{index}")
                await trio.testing.wait_all_tasks_blocked()
            await server.until(lambda: server.ops()["publish"] >= 1)
            await server.drop()
    first, second = (
        [c["key"] for c in server.seen if c["op"] == "publish"][part] for part in (slice(1), slice(-10, None))
    )
    assert first == second[:1]
    assert numbers == {f"{index}": index + 1 for index in range(10)}
    assert [item["body"]["text"] for item in server.logs["r"]] == [f"{index}" for index in range(10)]


async def test_a_message_that_was_stored_before_the_cut_is_not_stored_twice(server: ScriptedChat) -> None:
    async def store_and_cut(peer: Peer, command: dict[str, Any]) -> None:
        await server._store("r", command["body"], command["key"], "u1", push=True)
        await server.drop()

    async with open_client(server.url, token="t", config=FAST) as client, trio.open_nursery() as nursery:

        def cut_once(peer: Peer, command: dict[str, Any]) -> Any:
            if command["op"] == "publish" and server.hellos == 1:
                nursery.start_soon(store_and_cut, peer, command)
                return "nothing"
            return None

        server.hook = cut_once
        room = await client.join("r")
        published = await room.publish("once")
        assert published.duplicate
        assert published.seq == 1
        assert len(server.logs["r"]) == 1
        await room.publish("next")
        assert await texts(room, 2) == ["once", "next"]


async def test_a_retryable_refusal_is_tried_again_when_the_server_says(server: ScriptedChat) -> None:
    refusals = iter([{"code": "rate_limited", "message": "slow down", "retryable": True, "retry_after_ms": 20}] * 3)

    def refuse(peer: Peer, command: dict[str, Any]) -> Any:
        error = next(refusals, None) if command["op"] == "publish" else None
        return {"err": error} if error else None

    server.hook = refuse
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        assert (await room.publish("x")).seq == 1
    assert len({command["key"] for command in server.seen if command["op"] == "publish"}) == 1
    assert server.ops()["publish"] == 4


async def test_a_refusal_for_good_is_raised_as_its_own_kind(server: ScriptedChat) -> None:
    answers = {
        "join": {"err": {"code": "not_found", "message": "no such room", "retryable": False}},
        "edit": {"err": {"code": "forbidden", "message": "not yours", "retryable": False}},
    }
    server.hook = lambda peer, command: (
        answers.get(command["op"]) if command["room" if "room" in command else "op"] == "no" else None
    )
    async with open_client(server.url, token="t") as client:
        with pytest.raises(NotFound, match="no such room"):
            await client.join("no")
        answers.pop("join")
        room = await client.join("no")
        with pytest.raises(Forbidden):
            await room.edit(1, "x")
        assert (await room.publish("still there")).seq == 1


async def test_a_lost_push_is_read_from_history(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        await server.post("r", "1")
        await server.post("r", "2", push=False)
        await server.post("r", "3", push=False)
        await server.post("r", "4")
        assert await texts(room, 4) == ["1", "2", "3", "4"]


async def test_a_gap_is_paged_from_history(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        for number in range(1, 251):
            await server.post("r", f"{number}", push=False)
        await server.push({"push": "gap", "room": "r", "epoch": "e1", "from": 1, "to": 250})
        assert await texts(room, 250) == [f"{number}" for number in range(1, 251)]
        assert server.ops()["history"] == 3


async def test_a_failed_recovery_is_told_and_filled(server: ScriptedChat) -> None:
    server.recover = False
    async with open_client(server.url, token="t", config=FAST) as client:
        room = await client.join("r")
        await server.post("r", "1")
        await texts(room, 1)
        await server.drop()
        await server.post("r", "2", push=False)
        events = await take(room, 2)
        assert isinstance(events[0], Unrecovered)
        assert not events[0].history_changed
        assert isinstance(events[1], Message)
        assert events[1].text == "2"


async def test_a_restored_history_is_told(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t", config=FAST) as client:
        room = await client.join("r")
        for number in range(3):
            await server.post("r", f"{number}")
        await texts(room, 3)
        server.epoch = "e2"
        del server.logs["r"][1:]
        await server.post("r", "new", push=False)
        await server.drop()
        [event] = await take(room, 1)
        assert isinstance(event, Unrecovered)
        assert event.history_changed
        assert room.position == event.position
        await server.post("r", "newer")
        assert await texts(room, 1) == ["newer"]


async def test_a_slow_reader_pauses_and_loses_nothing(server: ScriptedChat) -> None:
    config = ClientConfig(room_capacity=10)
    async with open_client(server.url, token="t", config=config) as client:
        room = await client.join("r")
        for number in range(500):
            await server.post("r", f"{number}")
        await room.publish("last")  # its answer comes after all pushes
        assert server.ops()["history"] == 0, "nothing is fetched that cannot be kept"
        assert len(room._feed._events) == 10
        assert await texts(room, 501) == [*(f"{number}" for number in range(500)), "last"]


async def test_a_position_of_an_earlier_run_is_resumed(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        await server.post("r", "1")
        await texts(room, 1)
        position = room.position
    await server.post("r", "2")
    async with open_client(server.url, token="t") as client:
        assert await texts(await client.join("r", since=position), 1) == ["2"]


async def test_events_about_people_and_edits_come_between_the_messages(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        await server.post("r", "1")
        presence = {"joins": [{"id": "u2", "name": "bob"}], "leaves": [], "online": 2}
        await server.push({"push": "presence", "room": "r", **presence})
        await server.push({"push": "typing", "room": "r", "user": "u2", "name": "bob"})
        await server.push({"push": "something new", "room": "r"})
        await server.push(
            {"push": "edited", "room": "r", "epoch": "e1", "seq": 1, "revision": 1, "user": "u2", "body": {}}
        )
        events = await take(room, 4)
        assert [type(event) for event in events] == [Message, PresenceChanged, Typing, Edited]


async def test_the_other_requests_ask_what_they_say(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        for number in range(5):
            await server.post("r", f"{number}")
        assert [message.text for message in (await room.history(limit=2)).messages] == ["3", "4"]
        assert [message.text for message in (await room.history(before=3)).messages] == ["0", "1"]
        assert (await room.online()).users[0].name == "ada"
        await room.mark_read(3)
        await room.delete(2)
        await room.typing()
        await room.leave()
        await server.until(lambda: server.ops()["leave"] == 1)
        commands = {command["op"]: command for command in server.seen}
        assert commands["read"]["seq"] == 3
        assert commands["delete"]["seq"] == 2
        assert commands["typing"]["room"] == "r"


async def test_leaving_a_room_ends_its_iteration(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def read() -> None:
                assert [message async for message in room] == []

            await trio.testing.wait_all_tasks_blocked()
            await room.leave()


async def test_being_removed_from_a_room_is_raised_after_what_came_before(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        await server.post("r", "1")
        await server.push({"push": "removed", "room": "r", "reason": "banned"})
        assert await texts(room, 1) == ["1"]
        with pytest.raises(RemovedFromRoom, match="banned"):
            await anext(aiter(room))


@pytest.mark.parametrize("code", [1001, 1008, 1011, 4001, 4008, 4012, 4499])
async def test_close_codes_that_ask_for_it_are_followed_by_a_new_connection(server: ScriptedChat, code: int) -> None:
    async with open_client(server.url, token="t", config=FAST) as client:
        room = await client.join("r")
        await server.close(code, "for now")
        assert (await room.publish("x")).seq == 1
    assert server.hellos == 2


async def test_a_client_that_sent_too_much_comes_back_after_the_longest_pauses(
    server: ScriptedChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    intervals: list[float] = []

    def uniform(least: float, most: float) -> float:
        intervals.append(most)
        return least

    config = ClientConfig(backoff_cap_seconds=60)  # so that no connection of this test counts as one that lasted
    async with open_client(server.url, token="t", config=config) as client:
        room = await client.join("r")
        monkeypatch.setattr("chat.client.backoff.random.uniform", uniform)
        await server.close(1008, "too many frames")
        await room.publish("x")
        await server.close(1001, "for now")
        await room.publish("y")
    assert intervals == [config.backoff_cap_seconds] * 2


async def test_a_client_sends_at_half_the_pace_that_the_server_allows(server: ScriptedChat) -> None:
    server.limits = {"frames_per_second": 1e-3, "frame_burst": 6, "bytes_per_second": 1e9, "bytes_burst": 1e9}
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        await room.publish("x")
        await room.publish("y")
        with trio.move_on_after(0.5) as patience:
            await room.publish("too much at this pace")
    assert patience.cancelled_caught
    assert server.ops() == {"hello": 1, "join": 1, "publish": 2}


@pytest.mark.parametrize("limits", [{"frames_per_second": 0}, {"bytes_burst": -1}, {"frame_burst": "many"}])
async def test_limits_that_make_no_sense_are_a_violation(server: ScriptedChat, limits: dict[str, Any]) -> None:
    server.limits = limits
    with pytest.raises(ProtocolViolation):
        async with open_client(server.url, token="t"):
            pass


@pytest.mark.parametrize(
    ("code", "error"),
    [(4501, SessionEnded), (4503, SessionEnded), (4504, SessionEnded), (4999, SessionEnded)]
    + [(code, ProtocolViolation) for code in (1002, 1003, 1007, 1009)],
)
async def test_close_codes_that_end_the_session_are_raised_by_the_block(
    server: ScriptedChat, code: int, error: type[Exception]
) -> None:
    async def be_closed() -> None:
        async with open_client(server.url, token="t", config=FAST) as client:
            await client.join("r")
            await server.close(code, "because")
            await trio.sleep(LIMIT)

    with pytest.raises(error, match="because") as caught:
        await be_closed()
    assert not isinstance(caught.value, SessionEnded) or caught.value.code == code
    assert server.hellos == 1


async def test_a_client_that_failed_says_so_to_tasks_outside_its_block(server: ScriptedChat) -> None:
    async def own(*, task_status: trio.TaskStatus[Room]) -> None:
        with suppress(SessionEnded):
            async with open_client(server.url, token="t") as client:
                task_status.started(await client.join("r"))
                await trio.sleep_forever()

    async def expect_closed(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(ClientClosed) as caught:
            await call()
        assert isinstance(caught.value.__cause__, SessionEnded)

    server.hook = lambda peer, command: "nothing" if command["op"] == "publish" else None
    async with trio.open_nursery() as nursery:
        room: Room = await nursery.start(own)
        nursery.start_soon(expect_closed, lambda: room.publish("x"))
        nursery.start_soon(expect_closed, lambda: anext(aiter(room)))
        await server.until(lambda: server.ops()["publish"] == 1)
        await server.close(4503)
    await expect_closed(lambda: room.publish("y"))


async def test_an_error_of_the_block_comes_out_as_it_is(server: ScriptedChat) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        async with open_client(server.url, token="t"):
            raise ZeroDivisionError("mine")
    assert caught.value.__context__ is None


async def test_leaving_the_block_closes_the_connection_at_once(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
    await server.until(lambda: not server.peers)
    with pytest.raises(ClientClosed):
        await room.publish("too late")


async def test_cancelling_the_block_leaves_nothing_behind(server: ScriptedChat) -> None:
    with trio.CancelScope() as scope:
        async with open_client(server.url, token="t") as client:
            await client.join("r")
            scope.cancel()
            await trio.sleep_forever()
    await server.until(lambda: not server.peers)


async def test_a_server_that_is_away_is_waited_for() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    told: list[State] = []
    with trio.move_on_after(0.5) as scope:
        async with open_client(
            f"http://127.0.0.1:{port}", token="t", config=FAST, on_state=lambda state, why: told.append(state)
        ):
            pytest.fail("there is no server")
    assert scope.cancelled_caught
    assert State.OFFLINE in told
    assert State.ONLINE not in told


async def test_a_handshake_that_will_not_succeed_is_raised(server: ScriptedChat) -> None:
    server.reject_status = 403
    with pytest.raises(HandshakeRefused, match="403"):
        async with open_client(server.url, token="t"):
            pytest.fail("refused")


async def test_a_handshake_that_is_refused_for_now_is_tried_again(server: ScriptedChat) -> None:
    server.reject_status = 503
    told: list[str] = []

    def listen(state: State, why: str) -> None:
        told.append(why)
        if "503" in why:
            server.reject_status = 0

    async with open_client(server.url, token="t", config=FAST, on_state=listen):
        assert any("503" in why for why in told)


async def test_a_token_that_is_not_accepted_is_raised(server: ScriptedChat) -> None:
    server.hook = lambda peer, command: {"err": {"code": "unauthenticated", "message": "expired"}}
    with pytest.raises(Unauthenticated):
        async with open_client(server.url, token="t"):
            pytest.fail("not accepted")


async def test_bye_names_the_time_of_the_reconnect(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t", config=FAST) as client:
        await client.join("r")
        before = trio.current_time()
        await server.push({"push": "bye", "reason": "restart", "reconnect_after_ms": 300})
        await server.close(4001)
        await server.until(lambda: server.hellos == 2)
        assert trio.current_time() - before >= 0.3


async def test_a_dead_socket_is_dropped_without_waiting_for_the_peer(server: ScriptedChat) -> None:
    told: list[str] = []
    config = ClientConfig(ping_seconds=1.0, pong_seconds=0.2, backoff_base_seconds=0.01)
    async with open_client(server.url, token="t", config=config, on_state=lambda _, why: told.append(why)) as client:
        room = await client.join("r")
        server.peers[0].go_deaf()
        await server.until(lambda: server.hellos == 2)
        assert any("nothing was heard" in why for why in told)
        assert (await room.publish("x")).seq == 1


@pytest.mark.parametrize("body", ["x" * 16_384, {"n": 2**70}, {"o": object()}, {"t": "\ud800"}, {"f": [float("nan")]}])
async def test_a_body_that_no_server_takes_is_refused_here(server: ScriptedChat, body: Any) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        with pytest.raises(Invalid, match="body"):
            await room.publish(body)
        deep: Any = 1
        for _ in range(40):
            deep = [deep]
        with pytest.raises(Invalid, match="nested"):
            await room.publish({"deep": deep})
        with pytest.raises(Invalid, match="cannot be sent"):
            await room.publish("x", key="\ud800")
        assert (await room.publish("x")).seq == 1


@pytest.mark.parametrize("room", ["", "Lobby", "a room", "x" * 33, "\ud800", "../r"])
async def test_what_is_no_id_is_no_room(server: ScriptedChat, room: str) -> None:
    async with open_client(server.url, token="t") as client:
        with pytest.raises(Invalid):
            await client.join(room)
        assert (await (await client.join("r")).publish("x")).seq == 1


async def test_a_command_too_long_for_a_frame_is_refused_here(server: ScriptedChat) -> None:
    async with open_client(server.url, token="t", encoding="json") as client:
        room = await client.join("r")
        with pytest.raises(Invalid, match="on the wire"):
            await room.publish("\x00" * 16_000)
        assert (await room.publish("\x00" * 1_000)).seq == 1


@pytest.mark.parametrize(
    "payload", [b"\xff\x00", b"\x81" * 5_000, b"\x9b" + b"\x7f" * 8, b"\x01", b"\x82\xa0\x01", "text, not binary"]
)
async def test_a_server_that_sends_garbage_is_a_clear_error(server: ScriptedChat, payload: bytes | str) -> None:
    async def receive_it() -> None:
        async with open_client(server.url, token="t") as client, trio.open_nursery() as nursery:
            room = await client.join("r")
            nursery.start_soon(room.online)
            await server.until(lambda: server.ops()["presence"] == 1)
            await server.peers[0].socket.send_message(payload)
            await trio.sleep(LIMIT)

    server.hook = lambda peer, command: "nothing" if command["op"] == "presence" else None
    with pytest.raises(ProtocolViolation):
        await receive_it()


@pytest.mark.parametrize("answer", [{}, {"ok": 5}, {"err": "no"}])
async def test_a_malformed_answer_is_a_clear_error(server: ScriptedChat, answer: dict[str, Any]) -> None:
    async def ask() -> None:
        async with open_client(server.url, token="t") as client:
            await (await client.join("r")).online()

    server.hook = lambda peer, command: answer if command["op"] == "presence" else None
    with pytest.raises(ProtocolViolation):
        await ask()


@pytest.mark.parametrize("push", [{"push": "message", "room": "r"}, {"push": "gap", "room": "r", "from": "1", "to": 2}])
async def test_a_malformed_push_is_a_clear_error(server: ScriptedChat, push: dict[str, Any]) -> None:
    async def receive_it() -> None:
        async with open_client(server.url, token="t") as client:
            await client.join("r")
            await server.push(push)
            await trio.sleep(LIMIT)

    with pytest.raises(ProtocolViolation, match="malformed"):
        await receive_it()


@pytest.mark.parametrize("push", [{"push": [1], "room": "r"}, {"push": "new", "room": {}}, {"push": "bye"}, {"new": 1}])
async def test_a_push_of_no_known_kind_is_ignored(server: ScriptedChat, push: dict[str, Any]) -> None:
    async with open_client(server.url, token="t") as client:
        room = await client.join("r")
        await server.push(push)
        assert (await room.publish("x")).seq == 1
