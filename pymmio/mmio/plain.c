/* Copies to and from plain memory that may fault.
 *
 * The fast way is the C library's, or stores past the caches, inside a guarded range.  Where it
 * faults, the piece is copied again through the accessors of the exception table, which say at
 * which byte it ends. */
#define _GNU_SOURCE
#include "plain.h"

#include <setjmp.h>
#include <string.h>

#include "pymmio/arch/fault.h"
#include "pymmio/arch/io.h"
#include "pymmio/arch/persist.h"

#define PIECE (64u * 1024u) /* what is copied before its place is noted */
#define STREAM 64u

static int wb_kind = -1;
static size_t wb_line;

int pm_write_back_kind(void)
{
    int kind = __atomic_load_n(&wb_kind, __ATOMIC_ACQUIRE);

    if (kind < 0) { /* twice at the same time does no harm */
        wb_line = pm_wb_line_size();
        kind = pm_wb_detect();
        __atomic_store_n(&wb_kind, kind, __ATOMIC_RELEASE);
    }
    return kind;
}

static void write_back_lines(int kind, const char *p, size_t size)
{
    const char *end = p + size;

    if (kind == PM_WB_NONE || kind == PM_WB_NOT_NEEDED)
        return;
    for (p = (const char *)((uintptr_t)p & ~(uintptr_t)(wb_line - 1)); p < end; p += wb_line)
        pm_wb_line(kind, p);
}

static __attribute__((noinline)) int write_back_guarded(int kind, const char *p, size_t size)
{
    struct pm_guard here = {.range = {{(uintptr_t)p, (uintptr_t)p + size}, {0, 0}}};
    struct pm_guard *before;

    if (sigsetjmp(here.jump, 0)) {
        pm_guard_set(NULL);
        return PM_FAULT;
    }
    before = pm_guard_set(&here);
    write_back_lines(kind, p, size);
    __asm__ volatile("" ::: "memory"); /* inside the guard */
    pm_guard_set(before);
    return PM_OK;
}

/* Write the cache lines of a range back and wait until they are durable.  PM_REFUSED where the
 * processor has no way for programs.  PM_FAULT: a page of the range is bad, pm_last_fault() says
 * which; what lies before it is durable. */
int pm_write_back(const void *p, size_t size)
{
    int kind = pm_write_back_kind(), error;

    if (kind == PM_WB_NONE)
        return PM_REFUSED;
    error = size ? write_back_guarded(kind, p, size) : PM_OK;
    pm_wb_fence(kind);
    return error;
}

#ifdef PM_HAS_STREAM
/* The edges go through the cache, as the rest would: their lines are written back. */
static void copy_past_cache(char *to, const char *from, size_t size)
{
    size_t head = -(uintptr_t)to & (STREAM - 1);
    int kind = pm_write_back_kind();

    if (head > size)
        head = size;
    if (head) {
        memcpy(to, from, head);
        write_back_lines(kind, to, head);
        to += head, from += head, size -= head;
    }
    for (; size >= STREAM; to += STREAM, from += STREAM, size -= STREAM)
        pm_stream_64(to, from);
    if (size) {
        memcpy(to, from, size);
        write_back_lines(kind, to, size);
    }
}
#else
static void copy_past_cache(char *to, const char *from, size_t size)
{
    memcpy(to, from, size);
    write_back_lines(pm_write_back_kind(), to, size);
}
#endif

/* Byte for byte until it faults; from may be NULL for zeros. */
static int copy_exactly(char *to, const char *from, size_t size, size_t *moved)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t value = 0;

        if ((from && pm_load8(from + i, &value)) || pm_store8(to + i, value)) {
            *moved += i;
            return PM_FAULT;
        }
    }
    *moved += size;
    return PM_OK;
}

static void copy_fast(char *to, const char *from, size_t size, int flags)
{
    if (!from)
        memset(to, 0, size);
    else if (flags & PM_PLAIN_NOCACHE)
        copy_past_cache(to, from, size);
    else
        memcpy(to, from, size);
}

static int copy_piece(char *to, const char *from, size_t size, int flags)
{
    struct pm_guard here = {
        .range = {{(uintptr_t)to, (uintptr_t)to + size}, {(uintptr_t)from, (uintptr_t)from + size}},
    };
    struct pm_guard *before;

    if (flags & PM_PLAIN_UNGUARDED) {
        copy_fast(to, from, size, flags);
        return PM_OK;
    }
    if (!from)
        here.range[1].start = here.range[1].end = 0;
    if (sigsetjmp(here.jump, 0)) {
        pm_guard_set(NULL);
        return PM_FAULT;
    }
    before = pm_guard_set(&here);
    copy_fast(to, from, size, flags);
    __asm__ volatile("" ::: "memory"); /* the copy is made inside the guard */
    pm_guard_set(before);
    return PM_OK;
}

static int copy_all(char *to, const char *from, size_t size, int flags, size_t *moved)
{
    int error = PM_OK;

    *moved = 0;
    while (size && !error) {
        size_t piece = size < PIECE ? size : PIECE;

        if (copy_piece(to, from, piece, flags)) {
            error = copy_exactly(to, from, piece, moved);
        } else {
            *moved += piece;
        }
        to += piece, size -= piece;
        if (from)
            from += piece;
    }
    return error;
}

/* Copy size bytes.  PM_FAULT: *moved bytes arrived, and the next one of them is bad, in either
 * memory.  The ranges must not overlap. */
int pm_plain_copy(void *to, const void *from, size_t size, int flags, size_t *moved)
{
    int error = copy_all(to, from, size, flags, moved);

    if (flags & PM_PLAIN_NOCACHE)
        pm_wb_fence(pm_write_back_kind());
    return error;
}

/* The same with zeros. */
int pm_plain_fill(void *to, size_t size, int flags, size_t *moved)
{
    int error = copy_all(to, NULL, size, flags, moved);

    if (flags & PM_PLAIN_NOCACHE && *moved) {
        write_back_lines(pm_write_back_kind(), to, *moved);
        pm_wb_fence(pm_write_back_kind());
    }
    return error;
}
