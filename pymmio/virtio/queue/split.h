/* The split ring (virtio 1.2 §2.7); a part of engine.c. */

#define AVAIL_F_NO_INTERRUPT 1u /* §2.7.6 */
#define USED_F_NO_NOTIFY 1u     /* §2.7.8 */
#define RING_IDX 2u             /* in both rings: flags, idx, then the entries */
#define RING_ENTRIES 4u
#define USED_SIZE 8u

static uint8_t *used_event(const vq *q) { return q->driver + RING_ENTRIES + 2u * q->num; }
static const uint8_t *avail_event(const vq *q)
{
    return q->device + RING_ENTRIES + USED_SIZE * q->num;
}

static void split_put(const vq *q, uint32_t at, uint64_t iova, uint32_t size, uint32_t flags,
                      uint32_t next)
{
    uint8_t *desc = q->desc + (size_t)at * DESC_SIZE;

    pm_put64(desc, iova);
    pm_put32(desc + 8, size);
    pm_put16(desc + 12, (uint16_t)flags);
    pm_put16(desc + 14, (uint16_t)next);
}

static int split_add(vq *q, const vq_piece *pieces, uint32_t readable, uint32_t count,
                     int in_table, uint64_t to_write)
{
    buffer_t *buffers = buffers_of(q);
    uint32_t head = q->free_head, at = head, taken = in_table ? 1 : count;

    if (in_table) {
        uint64_t table = fill_indirect(q, head, pieces, readable, count);
        split_put(q, head, table, count * DESC_SIZE, DESC_F_INDIRECT, 0);
        buffers[head].last = (uint16_t)head;
    } else {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t flags = i >= readable ? DESC_F_WRITE : 0, next = buffers[at].next;

            if (i + 1 < count)
                flags |= DESC_F_NEXT;
            split_put(q, at, pieces[i].iova, pieces[i].size, flags, i + 1 < count ? next : 0);
            buffers[head].last = (uint16_t)at;
            at = next;
        }
    }
    q->free_head = buffers[buffers[head].last].next;
    q->free_count -= taken;
    q->outstanding++;
    buffers[head].count = (uint16_t)taken;
    buffers[head].writable = to_write;

    pm_put16(q->driver + RING_ENTRIES + 2u * (q->avail & (q->num - 1)), (uint16_t)head);
    q->avail = (q->avail + 1) & 0xffffu;
    q->added++;
    pm_dma_wmb(); /* the descriptors and the entry are visible before idx (§2.7.13.3.1) */
    pm_shared_store16(q->driver + RING_IDX, (uint16_t)q->avail);
    return (int)head;
}

static int split_wants_kick(vq *q)
{
    pm_dma_mb(); /* avail.idx is visible before the device's wish is read (§2.7.13.4.1) */
    if (q->flags & VQ_EVENT_IDX)
        return q->added > 0xffffu
               || crosses(pm_shared_load16(avail_event(q)), (uint16_t)q->avail,
                          (uint16_t)(q->avail - q->added));
    return !(pm_shared_load16(q->device) & USED_F_NO_NOTIFY);
}

static int split_has_used(const vq *q, uint32_t used)
{
    return pm_shared_load16(q->device + RING_IDX) != (uint16_t)used;
}

/* Take the entry at the used index.  1: taken; 0: none there; below 0: the queue is broken. */
static int split_take(vq *q, vq_used *done)
{
    uint16_t idx = pm_shared_load16(q->device + RING_IDX);
    uint16_t ahead = (uint16_t)(idx - (uint16_t)q->used);
    buffer_t *buffers = buffers_of(q);
    const uint8_t *entry;
    uint32_t id, written;

    if (ahead == 0)
        return 0;
    if (ahead > q->outstanding)
        return refuse(q, VQ_BAD_INDEX, NONE, 0, 0, idx);
    pm_dma_rmb(); /* idx is read before the entry and the buffer's data (§2.7.14) */
    entry = q->device + RING_ENTRIES + (size_t)USED_SIZE * (q->used & (q->num - 1));
    id = pm_shared_load32(entry);
    written = pm_shared_load32(entry + 4);
    if (id >= q->num)
        return refuse(q, VQ_BAD_ID, id, written, 0, idx);
    if (!buffers[id].count)
        return refuse(q, VQ_NOT_OUTSTANDING, id, written, 0, idx);
    if (written > buffers[id].writable)
        return refuse(q, VQ_BAD_LENGTH, id, written, buffers[id].writable, idx);

    done->id = id;
    done->written = written;
    buffers[buffers[id].last].next = q->free_head;
    q->free_head = (uint16_t)id;
    q->free_count += buffers[id].count;
    q->outstanding--;
    buffers[id].count = 0;
    __atomic_store_n(&q->used, (q->used + 1) & 0xffffu, __ATOMIC_RELAXED);
    return 1;
}

static void split_interrupts(vq *q, int wanted)
{
    if (q->flags & VQ_EVENT_IDX) /* flags stay 0 then (§2.7.10.1) */
        pm_shared_store16(used_event(q), (uint16_t)(wanted ? q->used : q->used - 1));
    else
        pm_shared_store16(q->driver, wanted ? 0 : AVAIL_F_NO_INTERRUPT);
}
