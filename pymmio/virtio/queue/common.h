/* What the split and the packed ring have in common; a part of engine.c. */

static buffer_t *buffers_of(const vq *q) { return (buffer_t *)(uintptr_t)(q + 1); }

static void changed(vq *q) { __atomic_fetch_add(&q->events, 1, __ATOMIC_RELEASE); }

static int stop(vq *q, int code)
{
    q->broken = code;
    changed(q);
    return code;
}

static int refuse(vq *q, int code, uint32_t id, uint32_t written, uint64_t writable, uint32_t index)
{
    q->bad.id = id;
    q->bad.written = written;
    q->bad.writable = (uint32_t)writable;
    q->bad.index = (uint16_t)index;
    q->bad.last_used = (uint16_t)q->used;
    return stop(q, code);
}

/* Whether a notification is wanted: the event index lies among what is new (§2.7.10). */
static int crosses(uint16_t event, uint16_t new_index, uint16_t old_index)
{
    return (uint16_t)(new_index - event - 1) < (uint16_t)(new_index - old_index);
}

/* Whether a buffer of so many pieces goes into an indirect table. */
static int is_indirect(const vq *q, uint32_t count)
{
    return count > 1 && count <= q->indirect_max;
}

/* Fill the indirect table of a buffer and return where the device finds it. */
static uint64_t fill_indirect(vq *q, uint32_t id, const vq_piece *pieces, uint32_t readable,
                              uint32_t count)
{
    size_t at = (size_t)id * q->indirect_max * DESC_SIZE;
    int is_packed = (q->flags & VQ_PACKED) != 0;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *desc = q->indirect + at + (size_t)i * DESC_SIZE;
        uint32_t flags = i >= readable ? DESC_F_WRITE : 0;

        pm_put64(desc, pieces[i].iova);
        pm_put32(desc + 8, pieces[i].size);
        if (is_packed) { /* §2.8.8: only WRITE means anything, the id is reserved */
            pm_put16(desc + 12, 0);
            pm_put16(desc + 14, (uint16_t)flags);
        } else { /* §2.7.5.3 */
            if (i + 1 < count)
                flags |= DESC_F_NEXT;
            pm_put16(desc + 12, (uint16_t)flags);
            pm_put16(desc + 14, (uint16_t)(i + 1 < count ? i + 1 : 0));
        }
    }
    return q->indirect_iova + at;
}
