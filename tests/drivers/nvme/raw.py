"""Send the commands of tests/drivers/nvme_status_cases.py by the driver, as they are."""

from __future__ import annotations

from pymmio_drivers.nvme import Controller, StatusError
from pymmio_drivers.nvme.request import Command, Request
from tests.drivers.nvme_status_cases import BUFFER_SIZE, Case

UNMAPPED = 0xDEAD_0000_0000


def status_of(ctrl: Controller, case: Case) -> int:
    """Return type and code of the status that the controller gives to a case."""
    if case.before is not None:
        status_of(ctrl, case.before)
    with ctrl.alloc(BUFFER_SIZE) as buffer:
        with memoryview(buffer) as view:
            view[:] = case.memory(buffer=buffer.iova, unmapped=UNMAPPED)
        entry = case.entry(
            cid=0,
            buffer=buffer.iova,
            unmapped=UNMAPPED,
            block_size=ctrl.namespaces[1].block_size,
        )
        queue = ctrl.admin.queue if case.queue == "admin" else ctrl.io_queues[0]
        request = Request(queue, case.name, timeout_s=10.0, held=[buffer])
        ctrl.send(request, [Command(request, entry)])
        try:
            completion = request.result()
        except StatusError as error:
            return error.status & 0x7FF
        if case.dw0 is not None:
            assert completion.result == case.dw0, case.name
        return 0
