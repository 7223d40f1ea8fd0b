"""Hooks: hold, release, fail, and what abort and reset do to held commands."""

from __future__ import annotations

from .nvme_driver import SUCCESS, Driver

READ = 0x02


def start_read(driver: Driver, cid: int, buffer: int) -> None:
    driver.io[1].put(driver.entry(READ, nsid=1, cid=cid, prp1=buffer))
    driver.io[1].ring()


def only_reads(qid: int, command: object) -> bool:
    return qid == 1 and command.opcode == READ  # type: ignore[attr-defined]


def test_held_commands_are_executed_when_released() -> None:
    driver = Driver()
    driver.write(0, b"\x31" * 512)
    buffer = driver.alloc(512)
    driver.model.hooks.hold(only_reads)
    start_read(driver, 1, buffer)
    assert driver.io[1].poll() == []
    assert driver.peek(buffer, 512) == bytes(512)
    assert [(qid, command.cid) for qid, command in driver.model.hooks.held] == [(1, 1)]
    assert driver.submit_io(0x00).status == SUCCESS, "others go on"
    assert driver.model.hooks.release() == 1
    assert [c.cid for c in driver.io[1].poll()] == [1]
    assert driver.peek(buffer, 512) == b"\x31" * 512
    start_read(driver, 2, buffer)
    assert [c.cid for c in driver.io[1].poll()] == [2]


def test_memory_given_back_too_early_is_seen_at_the_release() -> None:
    driver = Driver()
    memory = 0x7000_0000
    driver.host.map(memory, 4096)
    driver.model.hooks.hold(only_reads)
    start_read(driver, 1, memory)
    driver.host.unmap(memory)
    driver.model.hooks.release()
    assert [c.status for c in driver.io[1].poll()] == [0x004]
    assert driver.host.faults == [(memory, 512)]


def test_abort_of_a_held_command() -> None:
    driver = Driver()
    driver.model.hooks.hold(only_reads)
    for cid in (7, 8):
        start_read(driver, cid, driver.alloc(512))
    done = driver.submit_admin(0x08, cdw10=7 << 16 | 1)
    assert (done.status, done.dw0) == (SUCCESS, 0)
    assert [(c.cid, c.status) for c in driver.io[1].poll()] == [(7, 0x007)]
    again = driver.submit_admin(0x08, cdw10=7 << 16 | 1)
    assert (again.status, again.dw0) == (SUCCESS, 1)
    assert driver.model.hooks.release() == 1


def test_an_identifier_in_flight_cannot_be_used_again() -> None:
    driver = Driver()
    driver.model.hooks.hold(only_reads)
    buffer = driver.alloc(512)
    start_read(driver, 7, buffer)
    start_read(driver, 7, buffer)
    assert [(c.cid, c.status) for c in driver.io[1].poll()] == [(7, 0x003)]
    assert driver.model.hooks.release() == 1


def test_fail_gives_a_status_so_many_times() -> None:
    driver = Driver()
    driver.model.hooks.fail(0x4281, only_reads, count=2)
    buffer = driver.alloc(512)
    seen = [driver.submit_io(READ, prp1=buffer).status_field for _ in range(3)]
    assert seen == [0x4281, 0x4281, SUCCESS]
    assert not driver.model.hooks.active


def test_a_controller_reset_drops_held_commands() -> None:
    driver = Driver()
    driver.model.hooks.hold(only_reads)
    buffer = driver.alloc(512)
    driver.poke(buffer, b"\x55" * 512)
    start_read(driver, 1, buffer)
    driver.w32(0x14, 0)
    assert driver.model.hooks.held == ()
    assert driver.model.hooks.release() == 0
    assert driver.peek(buffer, 512) == b"\x55" * 512


def test_a_stuck_controller_still_writes_until_the_function_is_reset() -> None:
    driver = Driver()
    buffer = driver.alloc(512)
    driver.poke(buffer, b"\x55" * 512)
    hooks = driver.model.hooks
    hooks.stuck = True
    hooks.hold(only_reads)
    start_read(driver, 1, buffer)
    driver.w32(0x14, 0)
    assert driver.csts == 1
    assert hooks.release() == 1
    assert driver.peek(buffer, 512) == bytes(512), "that is why its memory must not be reused"
    hooks.hold(only_reads)
    driver.model.reset()
    assert hooks.release() == 0


def test_holding_the_admin_queue() -> None:
    driver = Driver()
    driver.model.hooks.hold(lambda qid, command: qid == 0)
    driver.admin.put(driver.entry(0x06, cid=3, cdw10=1, prp1=driver.alloc(4096)))
    driver.admin.ring()
    assert driver.admin.poll() == []
    driver.model.hooks.release()
    assert [c.cid for c in driver.admin.poll()] == [3]
