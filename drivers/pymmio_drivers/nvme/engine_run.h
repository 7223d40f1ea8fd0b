/* The measured loop of the queue engine: keeps commands in flight and records latencies.
 * Part of engine.c, apart from it because it is no part of driving a controller. */

/* 64 buckets for each power of two: values are kept to 1.6 percent. */
uint32_t nvme_histogram_index(uint64_t ns)
{
    uint32_t exponent;

    if (ns < 64)
        return (uint32_t)ns;
    exponent = 63u - (uint32_t)__builtin_clzll(ns);
    return (exponent - 5) * 64 + ((ns >> (exponent - 6)) & 63);
}

/* The smallest value of a bucket. */
uint64_t nvme_histogram_value(uint32_t index)
{
    if (index < 64)
        return index;
    return (uint64_t)(64 + index % 64) << (index / 64 - 1);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int run_reap(nvme_qp *qp, nvme_run *run, uint32_t *free_buffers, uint64_t now)
{
    uint32_t taken = 0, user = 0;
    nvme_done done;
    int one;

    while ((one = take(qp, &done, &user, now)) > 0) {
        taken++;
        free_buffers[run->free_count++] = user;
        run->completed++;
        run->latency_sum_ns += done.latency_ns;
        if (done.latency_ns > run->latency_max_ns)
            run->latency_max_ns = done.latency_ns;
        run->histogram[nvme_histogram_index(done.latency_ns)]++;
        if (done.status & 0x7ff) {
            if (run->errors++ == 0)
                run->first_error = done.status;
        }
    }
    if (taken) {
        int error = ring_head(qp, taken);

        run->last_progress_ns = now;
        if (error)
            return error;
    }
    return one < 0 ? one : (int)taken;
}

static int run_submit(nvme_qp *qp, nvme_run *run, uint32_t *free_buffers, uint64_t now)
{
    int sent = 0, error, room = nvme_qp_space(qp);

    if (run->deadline_ns && now >= run->deadline_ns)
        return 0;
    while (run->free_count && sent < room && (!run->count || run->submitted < run->count)) {
        uint32_t buffer = free_buffers[--run->free_count];
        uint64_t place = run->position;
        nvme_io io;

        if (run->random)
            place = (uint64_t)(((unsigned __int128)draw(&run->seed) * run->positions) >> 64);
        else if (++run->position == run->positions)
            run->position = 0;
        memset(&io, 0, sizeof io);
        io.opcode = run->read_percent == 100 || draw(&run->seed) % 100 < run->read_percent ? 2 : 1;
        io.nsid = run->nsid;
        io.slba = run->first_lba + place * run->blocks;
        io.cdw12 = run->blocks - 1;
        io.prp1 = run->prps[2 * buffer];
        io.prp2 = run->prps[2 * buffer + 1];
        build(qp->sq + (size_t)qp->sq_tail * SQE_SIZE, &io);
        (void)take_slot(qp, qp->sq + (size_t)qp->sq_tail * SQE_SIZE, now, buffer);
        run->submitted++;
        sent++;
    }
    if (sent == 0)
        return 0;
    error = ring_tail(qp);
    return error ? error : sent;
}

static int nothing_more(const nvme_run *run, uint64_t now)
{
    if (run->count && run->submitted >= run->count)
        return 1;
    return run->deadline_ns && now >= run->deadline_ns;
}

/* Keep run->qd commands in flight.  Call again while the result is above 0; free_buffers has
 * room for qd numbers and belongs to the engine from the first call to the last. */
int nvme_qp_run(nvme_qp *qp, nvme_run *run, uint32_t *free_buffers, uint64_t slice_ns)
{
    uint64_t start = pm_now_ns(), now = start, idle_since = start;

    if (!run->started) {
        if (nvme_qp_outstanding(qp) || run->qd > qp->slots || !run->qd || !run->positions)
            return NVME_QP_BUSY;
        for (uint32_t i = 0; i < run->qd; i++)
            free_buffers[i] = run->qd - 1 - i;
        run->free_count = run->qd;
        run->last_progress_ns = now;
        run->started = 1;
    }
    for (;;) {
        int error = usable(qp), reaped, sent;

        if (error)
            return error;
        reaped = run_reap(qp, run, free_buffers, now);
        if (reaped < 0)
            return reaped;
        sent = run_submit(qp, run, free_buffers, now);
        if (sent < 0)
            return sent;
        if (qp->sq_doorbell->has_pending || qp->cq_doorbell->has_pending)
            return NVME_RUN_DELIVER;
        if (run->free_count == run->qd && nothing_more(run, now))
            return NVME_RUN_DONE;
        now = pm_now_ns();
        if (reaped || sent)
            idle_since = now;
        if (run->stall_ns && now - run->last_progress_ns > run->stall_ns) {
            run->stalled = 1;
            return NVME_RUN_AGAIN;
        }
        if (now - start >= slice_ns)
            return NVME_RUN_AGAIN;
        if (!reaped && !sent)
            pm_pause_after(now - idle_since);
    }
}
