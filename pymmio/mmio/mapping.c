#define _GNU_SOURCE
#include "mapping.h"

#include <string.h>
#include <time.h>

int pm_read(pm_mapping *m, size_t offset, int width, uint64_t *value)
{
    int error = pm_mapping_enter(m);
    if (error)
        return error;
    error = pm_load(m->way, m->base + offset, width, value);
    pm_mapping_leave(m);
    return error;
}

int pm_write(pm_mapping *m, size_t offset, int width, uint64_t value)
{
    int error = pm_mapping_enter(m);
    if (error)
        return error;
    error = pm_store(m->way, m->base + offset, width, value);
    pm_mapping_leave(m);
    return error;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Short waits spin; longer ones sleep between reads, so that a slow device costs no core. */
#define SPIN_NS 100000
#define SLEEP_MIN_NS 5000
#define SLEEP_MAX_NS 1000000

int pm_wait(pm_mapping *m, size_t offset, int width, int swap, uint64_t mask, uint64_t wanted,
            int64_t deadline_ns, int64_t slice_ns, uint64_t *last)
{
    int64_t start = now_ns(), sleep_ns = SLEEP_MIN_NS;
    int error = pm_mapping_enter(m);

    if (error)
        return error;
    for (;;) {
        uint64_t value = 0;
        /* The time is taken before the read: a value that came in time is never missed. */
        int64_t now = now_ns();

        error = pm_load(m->way, m->base + offset, width, &value);
        if (error)
            break;
        *last = swap ? pm_swap(value, width) : value;
        if ((*last & mask) == wanted)
            break;
        if (now >= deadline_ns)
            error = PM_TIMEOUT;
        else if (now - start >= slice_ns)
            error = PM_AGAIN;
        else if (pm_mapping_is_closing(m))
            error = PM_CLOSED;
        if (error)
            break;
        if (now - start < SPIN_NS) {
            pm_cpu_relax();
        } else {
            int64_t left = deadline_ns - now;
            struct timespec pause = {0, sleep_ns < left ? sleep_ns : left};
            nanosleep(&pause, NULL);
            if (sleep_ns < SLEEP_MAX_NS)
                sleep_ns *= 2;
        }
    }
    pm_mapping_leave(m);
    return error;
}

/* The user's memory may be unaligned: memcpy there, one accessor on the device's side.
 * Closing is looked at before an access: each access that was made counts as moved. */
#define COPY_FROM(bits)                                                           \
    for (; done < size && !pm_mapping_is_closing(m); done += bits / 8) {          \
        uint##bits##_t v = 0;                                                     \
        error = PM_LOAD(bits, m->way, m->base + offset + done, &v);               \
        if (error)                                                                \
            break;                                                                \
        memcpy((uint8_t *)to + done, &v, sizeof(v));                              \
    }

#define COPY_TO(bits)                                                             \
    for (; done < size && !pm_mapping_is_closing(m); done += bits / 8) {          \
        uint##bits##_t v;                                                         \
        memcpy(&v, (const uint8_t *)from + done, sizeof(v));                      \
        error = PM_STORE(bits, m->way, m->base + offset + done, v);               \
        if (error)                                                                \
            break;                                                                \
    }

#define BY_WIDTH(COPY)   \
    switch (width) {     \
    case 1:              \
        COPY(8) break;   \
    case 2:              \
        COPY(16) break;  \
    case 4:              \
        COPY(32) break;  \
    case 8:              \
        COPY(64) break;  \
    }

static int is_exact(const pm_mapping *m, size_t offset, size_t size, int width)
{
    size_t mask = (size_t)width - 1;

    return (width == 1 || width == 2 || width == 4 || width == 8) &&
           !(((uintptr_t)m->base + offset) & mask) && !(size & mask);
}

int pm_copy_from(pm_mapping *m, size_t offset, void *to, size_t size, int width, size_t *moved)
{
    size_t done = 0;
    int error = is_exact(m, offset, size, width) ? pm_mapping_enter(m) : PM_REFUSED;

    if (!error) {
        BY_WIDTH(COPY_FROM)
        if (!error && done < size)
            error = PM_CLOSED;
        pm_mapping_leave(m);
    }
    *moved = done;
    return error;
}

int pm_copy_to(pm_mapping *m, size_t offset, const void *from, size_t size, int width,
               size_t *moved)
{
    size_t done = 0;
    int error = is_exact(m, offset, size, width) ? pm_mapping_enter(m) : PM_REFUSED;

    if (!error) {
        BY_WIDTH(COPY_TO)
        if (!error && done < size)
            error = PM_CLOSED;
        pm_mapping_leave(m);
    }
    *moved = done;
    return error;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Pieces end at multiples of the largest store: so none crosses a page. */
int pm_copy_combined(pm_mapping *m, size_t offset, const void *from, size_t size,
                     size_t *moved)
{
    size_t done = 0, largest = pm_largest_store(m->way);
    int error = is_exact(m, offset, size, 8) ? pm_mapping_enter(m) : PM_REFUSED;

    if (!error) {
        while (done < size && !pm_mapping_is_closing(m)) {
            volatile uint8_t *p = m->base + offset + done;
            uint64_t piece[16]; /* aligned, as a store block wants its source */
            size_t n = smaller(size - done, largest - ((uintptr_t)p & (largest - 1)));

            memcpy(piece, (const uint8_t *)from + done, n);
            error = pm_store_wide(m->way, p, piece, n);
            if (error)
                break;
            done += n;
        }
        pm_mmio_wmb(); /* what was combined is out before the caller's next access */
        if (!error && done < size)
            error = PM_CLOSED;
        pm_mapping_leave(m);
    }
    *moved = done;
    return error;
}
