/* Submission and completion queues of NVMe over PCIe (NVMe Base 2.0 §3.3.1, §3.3.3).
 *
 * What the controller writes is hostile: every completion is checked before anything is done
 * with it, and a wrong one stops the queue.  Entries are little-endian on every host.  The
 * device is reached through pm_doorbell only, whatever way that is; DMA memory is plain. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pymmio/mmio/doorbell.h"
#include "pymmio/mmio/engine.h"

#include "engine.cdef.h"

#define SQE_SIZE 64u
#define CQE_SIZE 16u
#define PHASE 0x80000000u      /* in nvme_qp.cq_state */
#define CQE_PHASE 0x00010000u  /* in DW3 of a completion */

typedef struct {
    uint64_t submitted_ns;
    uint32_t user; /* nvme_qp_run: number of the buffer */
    uint16_t generation;
    uint8_t outstanding;
    uint8_t reserved;
} slot_t;

struct nvme_qp {
    uint8_t *sq;
    const uint8_t *cq;
    pm_doorbell *sq_doorbell;
    pm_doorbell *cq_doorbell;
    uint32_t depth;       /* entries of either queue */
    uint32_t slots;       /* commands that may be outstanding: depth - 1, so the CQ never fills */
    uint32_t generations; /* identifier = generation * slots + slot; 0xffff is never used */
    uint32_t sq_tail;
    uint32_t sq_head;     /* as the latest completion said */
    uint32_t cq_state;    /* CQ head, and the phase that is awaited in bit 31; atomic */
    uint32_t events;      /* completions taken, also each change of state; atomic */
    uint32_t users;       /* threads inside nvme_qp_wait; atomic */
    uint32_t closed;      /* atomic */
    uint32_t free_count;
    int broken;
    int doorbell_error;
    int failed_doorbell;
    uint16_t qid;
    nvme_bad bad;
    /* slot_t slot[slots]; uint32_t free_slots[slots]; */
};

static slot_t *slots_of(const nvme_qp *qp) { return (slot_t *)(uintptr_t)(qp + 1); }
static uint32_t *free_slots_of(const nvme_qp *qp) { return (uint32_t *)(slots_of(qp) + qp->slots); }

size_t nvme_qp_size(uint32_t slots)
{
    return sizeof(nvme_qp) + (size_t)slots * (sizeof(slot_t) + sizeof(uint32_t));
}

int nvme_qp_init(nvme_qp *qp, uint16_t qid, uint32_t depth, uintptr_t sq_memory,
                 uintptr_t cq_memory, uintptr_t sq_doorbell, uintptr_t cq_doorbell)
{
    if (depth < 2 || depth > 65536)
        return -1;
    memset(qp, 0, nvme_qp_size(depth - 1));
    qp->sq = (uint8_t *)sq_memory;
    qp->cq = (const uint8_t *)cq_memory;
    qp->sq_doorbell = (pm_doorbell *)sq_doorbell;
    qp->cq_doorbell = (pm_doorbell *)cq_doorbell;
    qp->qid = qid;
    qp->depth = depth;
    qp->slots = depth - 1;
    qp->generations = 0xffffu / qp->slots;
    nvme_qp_reset(qp);
    return 0;
}

/* Start anew on the same memory, which the caller has cleared: after a controller reset.  Who
 * waits meanwhile is told that something changed. */
void nvme_qp_reset(nvme_qp *qp)
{
    qp->sq_tail = qp->sq_head = 0;
    qp->broken = qp->doorbell_error = 0;
    for (uint32_t i = 0; i < qp->slots; i++) {
        slots_of(qp)[i].outstanding = 0;
        free_slots_of(qp)[i] = qp->slots - 1 - i;
    }
    qp->free_count = qp->slots;
    __atomic_store_n(&qp->cq_state, PHASE, __ATOMIC_RELAXED); /* first pass: §3.3.3.2.1.1 */
    __atomic_fetch_add(&qp->events, 1, __ATOMIC_RELEASE);
}

static uint32_t distance(const nvme_qp *qp, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + qp->depth - from;
}

/* Commands that may be sent now: slots free, and SQ entries that the controller has fetched. */
int nvme_qp_space(const nvme_qp *qp)
{
    uint32_t entries = qp->depth - 1 - distance(qp, qp->sq_head, qp->sq_tail);

    return (int)(entries < qp->free_count ? entries : qp->free_count);
}

uint32_t nvme_qp_outstanding(const nvme_qp *qp) { return qp->slots - qp->free_count; }
uint32_t nvme_qp_events(const nvme_qp *qp)
{
    return __atomic_load_n(&qp->events, __ATOMIC_RELAXED);
}

static void changed(nvme_qp *qp, uint32_t count)
{
    __atomic_fetch_add(&qp->events, count, __ATOMIC_RELEASE);
}

static int stop(nvme_qp *qp, int code)
{
    qp->broken = code;
    changed(qp, 1);
    return code;
}

static int ring(nvme_qp *qp, pm_doorbell *doorbell, uint32_t value)
{
    int error = doorbell->ring(doorbell, value);

    if (error == 0)
        return 0;
    qp->doorbell_error = error;
    qp->failed_doorbell = doorbell == qp->cq_doorbell;
    return stop(qp, NVME_QP_DOORBELL);
}

/* Take a slot for the entry at the tail, which the caller has filled but for its identifier. */
static uint16_t take_slot(nvme_qp *qp, uint8_t *sqe, uint64_t now, uint32_t user)
{
    uint32_t index = free_slots_of(qp)[--qp->free_count];
    slot_t *slot = &slots_of(qp)[index];
    uint16_t cid = (uint16_t)(slot->generation * qp->slots + index);

    slot->submitted_ns = now;
    slot->user = user;
    slot->outstanding = 1;
    pm_put16(sqe + 2, cid);
    if (++qp->sq_tail == qp->depth)
        qp->sq_tail = 0;
    return cid;
}

static int ring_tail(nvme_qp *qp)
{
    pm_dma_wmb(); /* the SQEs are visible before the SQ tail doorbell (§3.3.1.2) */
    return ring(qp, qp->sq_doorbell, qp->sq_tail);
}

static void build(uint8_t *sqe, const nvme_io *io)
{
    memset(sqe, 0, SQE_SIZE);
    sqe[0] = io->opcode;
    pm_put32(sqe + 4, io->nsid);
    pm_put64(sqe + 24, io->prp1);
    pm_put64(sqe + 32, io->prp2);
    pm_put64(sqe + 40, io->slba);
    pm_put32(sqe + 48, io->cdw12);
    pm_put32(sqe + 52, io->cdw13);
}

static int usable(const nvme_qp *qp)
{
    if (qp->broken)
        return qp->broken;
    return __atomic_load_n(&qp->closed, __ATOMIC_RELAXED) ? NVME_QP_CLOSED : 0;
}

static int submit(nvme_qp *qp, const nvme_io *io, const uint8_t *sqes, uint32_t count,
                  uint16_t *cids)
{
    int error = usable(qp);
    uint32_t room, i;
    uint64_t now;

    for (i = 0; i < count; i++)
        cids[i] = 0xffff;
    if (error)
        return error;
    room = (uint32_t)nvme_qp_space(qp);
    if (count > room)
        count = room;
    if (count == 0)
        return 0;
    now = pm_now_ns();
    for (i = 0; i < count; i++) {
        uint8_t *sqe = qp->sq + (size_t)qp->sq_tail * SQE_SIZE;

        if (io)
            build(sqe, &io[i]);
        else
            memcpy(sqe, sqes + (size_t)i * SQE_SIZE, SQE_SIZE);
        cids[i] = take_slot(qp, sqe, now, 0);
    }
    error = ring_tail(qp);
    return error ? error : (int)count;
}

/* Send up to count commands with one doorbell; returns how many there was room for.  cids get
 * the identifiers, 0xffff where a command was not taken: NVME_QP_DOORBELL means that entries
 * were written and the controller may or may not know of them. */
int nvme_qp_submit_io(nvme_qp *qp, const nvme_io *io, uint32_t count, uint16_t *cids)
{
    return submit(qp, io, NULL, count, cids);
}

/* The same for ready 64-byte entries; their identifiers are filled in. */
int nvme_qp_submit_raw(nvme_qp *qp, const uint8_t *sqes, uint32_t count, uint16_t *cids)
{
    return submit(qp, NULL, sqes, count, cids);
}

static int refuse(nvme_qp *qp, int code, const uint8_t *cqe, uint32_t dw2, uint32_t dw3)
{
    qp->bad.result = pm_shared_load32(cqe);
    qp->bad.sqhd = (uint16_t)dw2;
    qp->bad.sqid = (uint16_t)(dw2 >> 16);
    qp->bad.cid = (uint16_t)dw3;
    qp->bad.status = (uint16_t)(dw3 >> 17);
    qp->bad.cq_head = qp->cq_state & ~PHASE;
    qp->bad.sq_head = qp->sq_head;
    qp->bad.sq_tail = qp->sq_tail;
    return stop(qp, code);
}

/* Take the completion at the CQ head.  1: taken; 0: none there; below 0: the queue is broken. */
static int take(nvme_qp *qp, nvme_done *done, uint32_t *user, uint64_t now)
{
    uint32_t head = qp->cq_state & ~PHASE;
    const uint8_t *cqe = qp->cq + (size_t)head * CQE_SIZE;
    uint32_t dw3 = pm_shared_load32(cqe + 12);
    uint32_t dw2, sqhd, cid, index, state;
    slot_t *slot;

    if (!(dw3 & CQE_PHASE) != !(qp->cq_state & PHASE))
        return 0;
    pm_dma_rmb(); /* the phase bit is read before the rest of the CQE and the command's data */
    dw2 = pm_shared_load32(cqe + 8);
    if (dw2 >> 16 != qp->qid)
        return refuse(qp, NVME_QP_BAD_SQID, cqe, dw2, dw3);
    sqhd = dw2 & 0xffff;
    if (sqhd >= qp->depth
        || distance(qp, qp->sq_head, sqhd) > distance(qp, qp->sq_head, qp->sq_tail))
        return refuse(qp, NVME_QP_BAD_SQHD, cqe, dw2, dw3);
    cid = dw3 & 0xffff;
    if (cid >= qp->generations * qp->slots)
        return refuse(qp, NVME_QP_BAD_CID, cqe, dw2, dw3);
    index = cid % qp->slots;
    slot = &slots_of(qp)[index];
    if (!slot->outstanding || slot->generation != cid / qp->slots)
        return refuse(qp, NVME_QP_NOT_OUTSTANDING, cqe, dw2, dw3);

    done->cid = (uint16_t)cid;
    done->status = (uint16_t)(dw3 >> 17);
    done->result = pm_shared_load32(cqe);
    done->latency_ns = now - slot->submitted_ns;
    *user = slot->user;

    slot->outstanding = 0;
    slot->generation = (uint16_t)((slot->generation + 1u) % qp->generations);
    free_slots_of(qp)[qp->free_count++] = index;
    qp->sq_head = sqhd;
    state = qp->cq_state + 1;
    if ((state & ~PHASE) == qp->depth)
        state = (qp->cq_state & PHASE) ^ PHASE; /* wrapped: the other phase from here on */
    __atomic_store_n(&qp->cq_state, state, __ATOMIC_RELAXED);
    return 1;
}

static int ring_head(nvme_qp *qp, uint32_t taken)
{
    changed(qp, taken);
    pm_dma_mb(); /* the CQEs are read before the CQ head doorbell lets them be overwritten */
    return ring(qp, qp->cq_doorbell, qp->cq_state & ~PHASE);
}

/* Take up to max completions with one doorbell; returns how many.  What stands before a wrong
 * completion is returned first, the error by the next call. */
int nvme_qp_reap(nvme_qp *qp, nvme_done *done, uint32_t max)
{
    int error = qp->broken, taken = 0, one = 0;
    uint32_t user;
    uint64_t now;

    if (error)
        return error;
    now = pm_now_ns();
    while ((uint32_t)taken < max && (one = take(qp, &done[taken], &user, now)) > 0)
        taken++;
    if (taken == 0)
        return one;
    /* A doorbell that fails here breaks the queue, yet these completions did arrive. */
    (void)ring_head(qp, (uint32_t)taken);
    return taken;
}

/* Look for a completion without taking it.  1: there is one, or something changed since the
 * caller read nvme_qp_events; 0: not within timeout_ns, 20 ms at most; NVME_QP_CLOSED. */
int nvme_qp_wait(nvme_qp *qp, uint32_t events_seen, uint64_t timeout_ns)
{
    uint64_t start = pm_now_ns(), waited = 0;
    int result = 0;

    if (timeout_ns > PM_SLICE_MAX_NS)
        timeout_ns = PM_SLICE_MAX_NS;
    __atomic_fetch_add(&qp->users, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        uint32_t state, dw3;

        if (__atomic_load_n(&qp->closed, __ATOMIC_SEQ_CST)) {
            result = NVME_QP_CLOSED;
            break;
        }
        state = __atomic_load_n(&qp->cq_state, __ATOMIC_RELAXED);
        dw3 = pm_shared_load32(qp->cq + (size_t)(state & ~PHASE) * CQE_SIZE + 12);
        if (nvme_qp_events(qp) != events_seen || !(dw3 & CQE_PHASE) == !(state & PHASE)) {
            result = 1;
            break;
        }
        waited = pm_now_ns() - start;
        if (waited >= timeout_ns)
            break;
        pm_pause_after(waited);
    }
    __atomic_fetch_sub(&qp->users, 1, __ATOMIC_SEQ_CST);
    return result;
}

/* Make all waiting calls return and refuse new commands.  The queue memory may go when
 * nvme_qp_users has become 0. */
int nvme_qp_close(nvme_qp *qp)
{
    __atomic_store_n(&qp->closed, 1, __ATOMIC_SEQ_CST);
    return 0;
}

uint32_t nvme_qp_users(const nvme_qp *qp) { return __atomic_load_n(&qp->users, __ATOMIC_SEQ_CST); }
uint32_t nvme_qp_cq_state(const nvme_qp *qp)
{
    return __atomic_load_n(&qp->cq_state, __ATOMIC_RELAXED);
}
void nvme_qp_bad(const nvme_qp *qp, nvme_bad *bad) { *bad = qp->bad; }
int nvme_qp_doorbell_error(const nvme_qp *qp) { return qp->doorbell_error; }
int nvme_qp_failed_doorbell(const nvme_qp *qp) { return qp->failed_doorbell; }

#include "engine_run.h"
