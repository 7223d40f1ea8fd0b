/* pm_plain_copy, pm_plain_fill and pm_write_back: whole, and ended by a page that is not there. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "pymmio/arch/persist.h"
#include "pymmio/mmio/plain.h"

#define EDGE 128u
#define MOST (70000u + EDGE)

static uint8_t source[MOST + 2 * EDGE], target[MOST + 2 * EDGE];

static int is_all(const uint8_t *p, size_t size, uint8_t value)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != value)
            return 0;
    return 1;
}

static void plain_copies(void)
{
    const size_t sizes[] = {0, 1, 7, 63, 64, 65, 128, 4099, 65536, 70000};
    const size_t offsets[] = {0, 1, 63};

    for (size_t i = 0; i < sizeof(source); i++)
        source[i] = (uint8_t)(i * 7 + (i >> 8) + 1);
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (size_t o = 0; o < 3; o++)
            for (int flags = 0; flags <= PM_PLAIN_NOCACHE; flags++) {
                uint8_t *to = target + EDGE + offsets[o];
                size_t size = sizes[s], copied = 99, filled = 99;
                int copy, fill, is_same, is_zero, edges;

                memset(target, 0xee, sizeof(target));
                copy = pm_plain_copy(to, source + 5, size, flags, &copied);
                is_same = !memcmp(to, source + 5, size);
                edges = is_all(to - EDGE, EDGE, 0xee) && is_all(to + size, EDGE - 63, 0xee);
                fill = pm_plain_fill(to, size, flags, &filled);
                is_zero = is_all(to, size, 0);
                edges = edges && is_all(to - EDGE, EDGE, 0xee)
                        && is_all(to + size, EDGE - 63, 0xee);
                say("{\"size\": %zu, \"flags\": %d, \"copy\": %d, \"copied\": %zu, \"is_same\": %d, "
                    "\"fill\": %d, \"filled\": %zu, \"is_zero\": %d, \"edges\": %d}",
                    size, flags, copy, copied, is_same, fill, filled, is_zero, edges);
            }
}

/* Memory of which what lies behind good bytes is not there: behind the end of its file, or
 * protected. */
static uint8_t *cut(size_t good, size_t size, int is_truncated)
{
    int fd = memfd_create("cut", 0);
    uint8_t *p;

    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 0x11, size);
    if (is_truncated)
        CHECK(ftruncate(fd, (off_t)good) == 0);
    else
        CHECK(mprotect(p + good, size - good, PROT_NONE) == 0);
    close(fd);
    return p;
}

static void bad_page(int is_truncated)
{
    /* The bad page lies in the second piece that is copied (65536 bytes), or at an edge. */
    const size_t good = 2 * 65536, size = good + page_size();
    const size_t starts[] = {0, 1, good - 24, good - 1, good, good + 5};

    CHECK(pm_fault_install() == 0);
    for (size_t i = 0; i < 6; i++)
        for (int flags = 0; flags <= PM_PLAIN_NOCACHE; flags++) {
            uint8_t *p = cut(good, size, is_truncated);
            uint8_t *user = pages(size / page_size() + 1, PROT_READ | PROT_WRITE);
            size_t start = starts[i], wanted = size - start, to = 99, from = 99, fill = 99;
            size_t expected = start < good ? good - start : 0;
            int to_error, from_error, fill_error, signal_number;

            memset(user, 0x22, size);
            from_error = pm_plain_copy(user, p + start, wanted, flags, &from);
            CHECK(is_all(user, from, 0x11) && is_all(user + from, size - from, 0x22));
            memset(user, 0x33, size);
            to_error = pm_plain_copy(p + start, user, wanted, flags, &to);
            signal_number = pm_last_fault().signal;
            CHECK(is_all(p + start, to, 0x33));
            fill_error = pm_plain_fill(p + start, wanted, flags, &fill);
            CHECK(is_all(p + start, fill, 0));
            say("{\"expected\": %zu, \"from\": %d, \"from_moved\": %zu, \"to\": %d, "
                "\"to_moved\": %zu, \"fill\": %d, \"filled\": %zu, \"signal\": %d}",
                expected, from_error, from, to_error, to, fill_error, fill, signal_number);
        }
}

static void plain_truncated(void) { bad_page(1); }
static void plain_protected(void) { bad_page(0); }

static void plain_write_back(void)
{
    size_t page = page_size();
    uint8_t *p = cut(page, 2 * page, 0);
    int kind = pm_write_back_kind(), whole, nothing, bad;
    long long where;

    CHECK(pm_fault_install() == 0);
    whole = pm_write_back(p + 3, page - 3);
    nothing = pm_write_back(p + page, 0);
    bad = pm_write_back(p + page - 1, 2);
    where = bad == PM_FAULT ? (long long)(pm_last_fault().address - (uintptr_t)(p + page)) : 0;
    say("{\"kind\": %d, \"line\": %zu, \"whole\": %d, \"nothing\": %d, \"bad\": %d, "
        "\"where\": %lld, \"kept\": \"%s\"}",
        kind, pm_wb_line_size(), whole, nothing, bad, where, hex(p + page - 8, 8));
}

const struct test_case plain_cases[] = {
    {"plain_copies", plain_copies},
    {"plain_truncated", plain_truncated},
    {"plain_protected", plain_protected},
    {"plain_write_back", plain_write_back},
    {NULL, NULL},
};
