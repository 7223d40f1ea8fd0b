/* The packed ring (virtio 1.2 §2.8); a part of engine.c. */

#define EVENT_ENABLE 0u  /* §2.8.10 */
#define EVENT_DISABLE 1u
#define EVENT_DESC 2u
#define EVENT_WRAP 0x8000u

static uint8_t *packed_desc(const vq *q, uint32_t at) { return q->desc + (size_t)at * DESC_SIZE; }

/* The two bits that say "available" in this pass of the ring (§2.8.1). */
static uint32_t packed_avail_bits(uint32_t wrap) { return wrap ? DESC_F_AVAIL : DESC_F_USED; }

static void packed_step(vq *q)
{
    if (++q->avail == q->num) {
        q->avail = 0;
        q->avail_wrap ^= 1;
    }
}

static int packed_add(vq *q, const vq_piece *pieces, uint32_t readable, uint32_t count,
                      int in_table, uint64_t to_write)
{
    buffer_t *buffers = buffers_of(q);
    uint32_t id = q->free_head, taken = in_table ? 1 : count, first = q->avail;
    uint32_t first_flags = 0;

    for (uint32_t i = 0; i < taken; i++) {
        uint8_t *desc = packed_desc(q, q->avail);
        uint32_t flags = packed_avail_bits(q->avail_wrap);

        if (in_table) {
            pm_put64(desc, fill_indirect(q, id, pieces, readable, count));
            pm_put32(desc + 8, count * DESC_SIZE);
            flags |= DESC_F_INDIRECT;
        } else {
            pm_put64(desc, pieces[i].iova);
            pm_put32(desc + 8, pieces[i].size);
            if (i >= readable)
                flags |= DESC_F_WRITE;
            if (i + 1 < count)
                flags |= DESC_F_NEXT;
        }
        pm_put16(desc + 12, (uint16_t)id);
        if (i == 0)
            first_flags = flags;
        else
            pm_shared_store16(desc + 14, (uint16_t)flags);
        packed_step(q);
    }
    q->free_head = buffers[id].next;
    q->free_count -= taken;
    q->outstanding++;
    q->added += taken;
    buffers[id].count = (uint16_t)taken;
    buffers[id].writable = to_write;

    pm_dma_wmb(); /* the whole list is visible before the flags of its first (§2.8.21.1) */
    pm_shared_store16(packed_desc(q, first) + 14, (uint16_t)first_flags);
    return (int)id;
}

static int packed_wants_kick(vq *q)
{
    uint32_t suppression, event;

    pm_dma_mb(); /* the flags are visible before the device's wish is read (§2.8.21.3.1) */
    suppression = pm_shared_load32(q->device);
    switch (suppression >> 16 & 3u) {
    case EVENT_ENABLE:
        return 1;
    case EVENT_DISABLE:
        return 0;
    default: /* EVENT_DESC; 3 is reserved and notified likewise */
        event = suppression & (EVENT_WRAP - 1);
        if ((suppression & EVENT_WRAP) >> 15 != q->avail_wrap)
            event -= q->num;
        return crosses((uint16_t)event, (uint16_t)q->avail, (uint16_t)(q->avail - q->added));
    }
}

static int packed_has_used(const vq *q, uint32_t used)
{
    uint32_t flags = pm_shared_load16(packed_desc(q, used & ~WRAP) + 14);
    uint32_t both = flags & (DESC_F_AVAIL | DESC_F_USED);

    return both == (used & WRAP ? DESC_F_AVAIL | DESC_F_USED : 0);
}

/* Take the descriptor at the used place.  1: taken; 0: none there; below 0: the queue is broken. */
static int packed_take(vq *q, vq_used *done)
{
    buffer_t *buffers = buffers_of(q);
    const uint8_t *desc = packed_desc(q, q->used & ~WRAP);
    uint32_t id, written, at;

    if (!packed_has_used(q, q->used))
        return 0;
    pm_dma_rmb(); /* the flags are read before the rest and the buffer's data (§2.8.22) */
    written = pm_shared_load32(desc + 8);
    id = pm_shared_load16(desc + 12);
    if (id >= q->num)
        return refuse(q, VQ_BAD_ID, id, written, 0, q->used);
    if (!buffers[id].count)
        return refuse(q, VQ_NOT_OUTSTANDING, id, written, 0, q->used);
    if (written > buffers[id].writable)
        return refuse(q, VQ_BAD_LENGTH, id, written, buffers[id].writable, q->used);

    done->id = id;
    done->written = written;
    at = (q->used & ~WRAP) + buffers[id].count;
    __atomic_store_n(&q->used,
                     at >= q->num ? (at - q->num) | ((q->used & WRAP) ^ WRAP)
                                  : at | (q->used & WRAP),
                     __ATOMIC_RELAXED);
    buffers[id].next = q->free_head;
    q->free_head = (uint16_t)id;
    q->free_count += buffers[id].count;
    q->outstanding--;
    buffers[id].count = 0;
    return 1;
}

static void packed_interrupts(vq *q, int wanted)
{
    uint32_t suppression = EVENT_DISABLE << 16;

    if (wanted && q->flags & VQ_EVENT_IDX)
        suppression = EVENT_DESC << 16 | (q->used & WRAP ? EVENT_WRAP : 0) | (q->used & ~WRAP);
    else if (wanted)
        suppression = EVENT_ENABLE << 16;
    pm_shared_store32(q->driver, suppression);
}
