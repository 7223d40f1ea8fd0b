/* What differs by the way of a mapping: which there are, what they refuse, wide stores, and on
 * s390x the condition codes and errnos that tests inject. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "harness.h"

static _Alignas(16) uint8_t cell[16];

static void offered(void) { say("{\"ways\": %u}", pm_pci_ways()); }

/* Misaligned, or of a width that there is not: no access. */
static void refused(void)
{
    const struct {
        int width, offset;
    } asked[] = {{2, 1}, {4, 2}, {8, 4}, {4, 7}, {8, 1}, {3, 0}, {16, 0}, {0, 0}};

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        pm_mapping m = mapping_of(cell, sizeof(cell));
        uint64_t value = 0;
        size_t moved_from = 99, moved_to = 99, offset = (size_t)asked[i].offset;
        int width = asked[i].width, from, to;
        memset(cell, 0x55, sizeof(cell));
        from = pm_copy_from(&m, offset, &value, 8, width, &moved_from);
        to = pm_copy_to(&m, offset, &value, 8, width, &moved_to);
        say("{\"width\": %d, \"offset\": %d, \"load\": %d, \"store\": %d, \"from\": %d, "
            "\"to\": %d, \"moved\": %zu, \"cell\": \"%s\"}",
            width, asked[i].offset, pm_load(way, cell + offset, width, &value),
            pm_store(way, cell + offset, width, PATTERN), from, to, moved_from + moved_to,
            hex(cell, 16));
    }
}

/* Five accesses in a row, with the details of each that fails. */
static void row(void)
{
    pm_mapping m = mapping_of(cell, sizeof(cell));

    CHECK(pm_fault_install() == 0);
    for (int i = 0; i < 5; i++) {
        uint64_t value = PATTERN;
        struct pm_fault fault;
        int error;
        memset(cell, 0x11 * (i + 1), sizeof(cell));
        errno = 4711;
        error = i == 3 ? pm_write(&m, 8, 4, 0) : pm_read(&m, 8, 4, &value);
        fault = pm_last_fault();
        say("{\"turn\": %d, \"error\": %d, \"value\": %llu, \"signal\": %d, \"cc\": %d, "
            "\"status\": %d, \"number\": %d, \"offset\": %lld, \"errno\": %d}",
            i + 1, error, (unsigned long long)value, fault.signal, fault.cc, fault.status,
            fault.error, fault.address ? (long long)(fault.address - (uintptr_t)cell) : -1, errno);
    }
}

/* From an odd address of memory, over the edge of a page. */
static void combined(void)
{
    const size_t sizes[] = {8, 16, 120, 128, 136, 512};
    uint8_t from[513];

    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(7 * i + 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *device = pages(2, PROT_READ | PROT_WRITE);
        pm_mapping m = mapping_of(device, 2 * page_size());
        size_t at = page_size() - 24, moved = 99;
        int error = pm_copy_combined(&m, at, from + 1, sizes[i], &moved);
        say("{\"size\": %zu, \"error\": %d, \"moved\": %zu, \"is_same\": %d, \"before\": %d, "
            "\"behind\": %d}",
            sizes[i], error, moved, !memcmp(device + at, from + 1, sizes[i]), device[at - 1],
            device[at + sizes[i]]);
    }
}

static void combined_failures(void)
{
    uint8_t *device = pages(2, PROT_READ | PROT_WRITE);
    pm_mapping m = mapping_of(device, 2 * page_size());
    static _Alignas(8) uint8_t from[512];
    size_t moved = 99;
    int error;

    CHECK(pm_fault_install() == 0);
    error = pm_copy_combined(&m, 4, from, 16, &moved);
    say("{\"case\": \"misaligned\", \"error\": %d, \"moved\": %zu}", error, moved);
    error = pm_copy_combined(&m, 8, from, 12, &moved);
    say("{\"case\": \"odd size\", \"error\": %d, \"moved\": %zu}", error, moved);
    CHECK(mprotect(device + page_size(), page_size(), PROT_NONE) == 0);
    error = pm_copy_combined(&m, page_size() - 256, from, 512, &moved);
    say("{\"case\": \"protected\", \"error\": %d, \"moved\": %zu, \"failed\": %d}", error, moved,
        failed_at(error, device + page_size(), SIGSEGV));
    m.closing = 1;
    error = pm_copy_combined(&m, 0, from, 16, &moved);
    say("{\"case\": \"closed\", \"error\": %d, \"moved\": %zu, \"users\": %u}", error, moved,
        m.users);
}

static void wait_until_it_fails(void)
{
    static _Alignas(8) uint8_t reg[8];
    pm_mapping m = mapping_of(reg, sizeof(reg));
    uint64_t last = 0;
    int error = pm_wait(&m, 0, 4, 0, 1, 1, now_ns() + 20 * SECOND_NS, 20 * SECOND_NS, &last);

    say("{\"error\": %d, \"cc\": %d, \"number\": %d, \"users\": %u}", error, pm_last_fault().cc,
        pm_last_fault().error, m.users);
}

const struct test_case way_cases[] = {
    {"ways_offered", offered},
    {"ways_refused", refused},
    {"ways_row", row},
    {"ways_combined", combined},
    {"ways_combined_failures", combined_failures},
    {"ways_wait", wait_until_it_fails},
    {NULL, NULL},
};
