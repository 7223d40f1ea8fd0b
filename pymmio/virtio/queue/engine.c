/* The driver's side of virtqueues (virtio 1.2 §2.7 split, §2.8 packed).
 *
 * What the device writes is hostile: each index, id and length is checked before anything is
 * done with it, and a wrong one stops the queue.  What the engine must remember (chains, ids,
 * lengths) it keeps in memory of its own, never in the ring.  Words of the ring are
 * little-endian on every host.  The device is reached through pm_doorbell only. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pymmio/mmio/doorbell.h"
#include "pymmio/mmio/engine.h"

#include "engine.cdef.h"

#define DESC_SIZE 16u

#define DESC_F_NEXT 1u     /* §2.7.5, §2.8.14 */
#define DESC_F_WRITE 2u
#define DESC_F_INDIRECT 4u
#define DESC_F_AVAIL (1u << 7)
#define DESC_F_USED (1u << 15)

#define NONE 0xffffffffu

/* One buffer: in the split ring its id is its first descriptor, in the packed ring its buffer id. */
typedef struct {
    uint64_t writable; /* bytes that the device may write */
    uint16_t count;    /* descriptors of the ring that it takes; 0: not outstanding */
    uint16_t last;     /* split: its last descriptor */
    uint16_t next;     /* split: the descriptor after this one, in a chain or the free list;
                          packed: the next free id */
    uint16_t reserved;
} buffer_t;

struct vq {
    uint8_t *desc;
    uint8_t *driver;
    uint8_t *device;
    uint8_t *indirect;
    uint64_t indirect_iova;
    pm_doorbell *doorbell;
    uint32_t num;
    uint32_t flags;
    uint16_t index;
    uint16_t indirect_max;
    uint16_t free_head;
    uint16_t reserved;
    uint32_t free_count;   /* descriptors of the ring */
    uint32_t outstanding;  /* buffers */
    /* Split: free-running indices.  Packed: places in the ring, and their wrap counters. */
    uint32_t avail;
    uint32_t added;        /* since the last kick: split buffers, packed descriptors */
    uint32_t used;         /* atomic: vq_wait reads it; bit 31 is the packed wrap counter */
    uint32_t avail_wrap;
    uint32_t wants_interrupts;
    uint32_t events;       /* changes with each buffer taken and with each change of state; atomic */
    uint32_t users;        /* threads inside vq_wait; atomic */
    uint32_t closed;       /* atomic */
    uint64_t kicks, kicks_suppressed;
    int broken;
    int doorbell_error;
    vq_bad bad;
    /* buffer_t buffers[num]; */
};

#define WRAP 0x80000000u /* in vq.used */

#include "common.h"
#include "split.h"
#include "packed.h"

size_t vq_size(uint32_t num) { return sizeof(vq) + (size_t)num * sizeof(buffer_t); }

int vq_init(vq *q, const vq_layout *layout)
{
    uint32_t num = layout->num;

    if (num < 1 || num > VQ_MAX_SIZE)
        return -1;
    if (!(layout->flags & VQ_PACKED) && (num & (num - 1)))
        return -1;
    memset(q, 0, vq_size(num));
    q->num = num;
    q->flags = layout->flags;
    q->index = layout->index;
    q->desc = (uint8_t *)layout->desc;
    q->driver = (uint8_t *)layout->driver;
    q->device = (uint8_t *)layout->device;
    q->indirect = (uint8_t *)layout->indirect;
    q->indirect_iova = layout->indirect_iova;
    q->indirect_max = layout->flags & VQ_INDIRECT ? layout->indirect_max : 0;
    q->doorbell = (pm_doorbell *)layout->doorbell;
    q->wants_interrupts = 1;
    vq_reset(q);
    return 0;
}

/* Start anew with an empty ring in memory that the caller has cleared: after a device reset. */
void vq_reset(vq *q)
{
    buffer_t *buffers = buffers_of(q);

    for (uint32_t i = 0; i < q->num; i++) {
        memset(&buffers[i], 0, sizeof(buffers[i]));
        buffers[i].next = (uint16_t)(i + 1);
    }
    q->free_head = 0;
    q->free_count = q->num;
    q->outstanding = 0;
    q->avail = q->added = 0;
    q->avail_wrap = 1; /* §2.8.1: both wrap counters start as 1 */
    q->broken = q->doorbell_error = 0;
    __atomic_store_n(&q->used, q->flags & VQ_PACKED ? WRAP : 0, __ATOMIC_RELAXED);
    (void)vq_interrupts(q, (int)q->wants_interrupts);
    changed(q);
}

/* Descriptors of the ring that are free; a buffer in an indirect table takes one. */
int vq_space(const vq *q) { return (int)q->free_count; }
int vq_outstanding(const vq *q) { return (int)q->outstanding; }
uint32_t vq_events(const vq *q) { return __atomic_load_n(&q->events, __ATOMIC_RELAXED); }

/* Whether a buffer could be made available in an empty queue: 0, or VQ_TOO_LONG. */
int vq_check(const vq *q, const vq_piece *pieces, uint32_t readable, uint32_t writable)
{
    uint32_t count = readable + writable;
    uint64_t total = 0;

    if (count < readable || count == 0)
        return VQ_TOO_LONG;
    if (!is_indirect(q, count) && count > q->num)
        return VQ_TOO_LONG;
    for (uint32_t i = 0; i < count; i++) {
        if (pieces[i].size == 0)
            return VQ_TOO_LONG;
        total += pieces[i].size;
    }
    return total > 0xffffffffu + (uint64_t)1 ? VQ_TOO_LONG : 0; /* §2.7.5, §2.8.5: 2^32 at most */
}

/* Make a buffer available: first the pieces that the device reads, then those that it writes.
 * Returns its id.  The device may look at it from now on, and is told by vq_kick. */
int vq_add(vq *q, const vq_piece *pieces, uint32_t readable, uint32_t writable)
{
    uint32_t count = readable + writable;
    uint64_t to_write = 0;
    int in_table = is_indirect(q, count);

    if (q->broken)
        return q->broken;
    if (__atomic_load_n(&q->closed, __ATOMIC_RELAXED))
        return VQ_CLOSED;
    if (vq_check(q, pieces, readable, writable))
        return VQ_TOO_LONG;
    if ((in_table ? 1 : count) > q->free_count)
        return VQ_FULL;
    for (uint32_t i = readable; i < count; i++)
        to_write += pieces[i].size;
    if (q->flags & VQ_PACKED)
        return packed_add(q, pieces, readable, count, in_table, to_write);
    return split_add(q, pieces, readable, count, in_table, to_write);
}

/* Show what was added to the device and notify it unless it does not want that; force notifies
 * it all the same, for devices that take one buffer a notification.  1: notified, 0: it did not
 * want it, or nothing was added. */
int vq_kick(vq *q, int force)
{
    uint32_t value = q->index;
    int error, is_wanted;

    if (q->broken)
        return q->broken;
    if (__atomic_load_n(&q->closed, __ATOMIC_RELAXED))
        return VQ_CLOSED;
    is_wanted = q->flags & VQ_PACKED ? packed_wants_kick(q) : split_wants_kick(q);
    if (q->added == 0 && !force)
        return 0;
    q->added = 0;
    if (!is_wanted && !force) {
        q->kicks_suppressed++;
        return 0;
    }
    if (q->flags & VQ_NOTIFICATION_DATA) /* §2.9 */
        value |= (q->avail & (q->flags & VQ_PACKED ? 0x7fffu : 0xffffu)) << 16
                 | (q->flags & VQ_PACKED ? q->avail_wrap << 31 : 0);
    q->kicks++;
    error = q->doorbell->ring(q->doorbell, value);
    if (error == 0)
        return 1;
    q->doorbell_error = error;
    return stop(q, VQ_DOORBELL);
}

/* Take up to max buffers that the device has used; returns how many.  What stands before a wrong
 * one is returned first, the error by the next call.  Call it until it returns 0: only then an
 * interrupt comes for the next one. */
int vq_reap(vq *q, vq_used *used, uint32_t max)
{
    int taken = 0, one = 0;

    if (q->broken)
        return q->broken;
    while ((uint32_t)taken < max
           && (one = q->flags & VQ_PACKED ? packed_take(q, &used[taken])
                                          : split_take(q, &used[taken])) > 0)
        taken++;
    if (taken == 0)
        return one;
    changed(q);
    if (q->wants_interrupts && q->flags & VQ_EVENT_IDX)
        (void)vq_interrupts(q, 1);
    return taken;
}

/* Whether a used buffer, or something wrong, is there to be taken. */
int vq_has_used(const vq *q)
{
    uint32_t used = __atomic_load_n(&q->used, __ATOMIC_RELAXED);

    return q->flags & VQ_PACKED ? packed_has_used(q, used) : split_has_used(q, used);
}

/* Ask for interrupts, or for none, which is a hint only.  Returns whether a used buffer is there
 * already, for which no interrupt may come. */
int vq_interrupts(vq *q, int wanted)
{
    q->wants_interrupts = wanted != 0;
    if (q->flags & VQ_PACKED)
        packed_interrupts(q, wanted);
    else
        split_interrupts(q, wanted);
    pm_dma_mb(); /* the wish is visible before the ring is looked at: none is lost (§2.7.7, §2.8.10) */
    return vq_has_used(q);
}

/* Look for a used buffer without taking it.  1: there is one, or something changed since the
 * caller read vq_events; 0: not within timeout_ns, 20 ms at most; VQ_CLOSED. */
int vq_wait(vq *q, uint32_t events_seen, uint64_t timeout_ns)
{
    uint64_t start = pm_now_ns(), waited = 0;
    int result = 0;

    if (timeout_ns > PM_SLICE_MAX_NS)
        timeout_ns = PM_SLICE_MAX_NS;
    __atomic_fetch_add(&q->users, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        if (__atomic_load_n(&q->closed, __ATOMIC_SEQ_CST)) {
            result = VQ_CLOSED;
            break;
        }
        if (vq_events(q) != events_seen || vq_has_used(q)) {
            result = 1;
            break;
        }
        waited = pm_now_ns() - start;
        if (waited >= timeout_ns)
            break;
        pm_pause_after(waited);
    }
    __atomic_fetch_sub(&q->users, 1, __ATOMIC_SEQ_CST);
    return result;
}

/* Make waiting calls return and look: something that they wait for may have changed. */
void vq_wake(vq *q) { changed(q); }

/* Make all waiting calls return and refuse new buffers.  The ring's memory may go when vq_users
 * has become 0. */
int vq_close(vq *q)
{
    __atomic_store_n(&q->closed, 1, __ATOMIC_SEQ_CST);
    return 0;
}

uint32_t vq_users(const vq *q) { return __atomic_load_n(&q->users, __ATOMIC_SEQ_CST); }

/* Where the engine is: 0 the next available index or place, 1 the next used one, 2 and 3 their
 * wrap counters (packed). */
uint32_t vq_position(const vq *q, int which)
{
    switch (which) {
    case 0:
        return q->avail;
    case 1:
        return q->used & ~WRAP;
    case 2:
        return q->avail_wrap;
    default:
        return q->used >> 31;
    }
}

/* 0: notifications sent; 1: those that the device did not want. */
uint64_t vq_kicks(const vq *q, int which) { return which ? q->kicks_suppressed : q->kicks; }
int vq_doorbell_error(const vq *q) { return q->doorbell_error; }
void vq_what_was_bad(const vq *q, vq_bad *bad) { *bad = q->bad; }
