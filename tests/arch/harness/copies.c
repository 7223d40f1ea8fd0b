/* pm_copy_from and pm_copy_to: whole, closed, and ended by a fault or by a closing thread. */
#include <string.h>
#include <sys/mman.h>

#include "harness.h"

static uint8_t user[64];

static void copies(void)
{
    const int widths[] = WIDTHS;
    uint8_t *device = pages(1, PROT_READ | PROT_WRITE);

    for (int i = 0; i < 4; i++) {
        pm_mapping m = mapping_of(device, page_size());
        size_t from_moved = 99, to_moved = 99;
        int from, to;
        for (int k = 0; k < 48; k++)
            device[k] = (uint8_t)(k + 1);
        memset(user, 0xee, sizeof(user));
        from = pm_copy_from(&m, 8, user + 1, 24, widths[i], &from_moved); /* unaligned memory */
        to = pm_copy_to(&m, 16, user + 3, 16, widths[i], &to_moved);
        say("{\"width\": %d, \"from\": %d, \"from_moved\": %zu, \"user\": \"%s\", "
            "\"to\": %d, \"to_moved\": %zu, \"device\": \"%s\", \"users\": %u}",
            widths[i], from, from_moved, hex(user, 26), to, to_moved, hex(device, 40), m.users);
    }
}

static void closed(void)
{
    uint8_t *device = pages(1, PROT_READ | PROT_WRITE);
    pm_mapping m = mapping_of(device, page_size());
    size_t from_moved = 99, to_moved = 99;
    int from, to;

    m.closing = 1;
    memset(user, 0xee, sizeof(user));
    from = pm_copy_from(&m, 0, user, 16, 4, &from_moved);
    to = pm_copy_to(&m, 0, user, 16, 4, &to_moved);
    say("{\"from\": %d, \"from_moved\": %zu, \"to\": %d, \"to_moved\": %zu, \"user\": \"%s\", "
        "\"device\": \"%s\", \"users\": %u}",
        from, from_moved, to, to_moved, hex(user, 16), hex(device, 16), m.users);
}

static void into_protected(void)
{
    const int widths[] = WIDTHS;
    size_t page = page_size();
    uint8_t *device = pages(2, PROT_READ | PROT_WRITE);

    CHECK(mprotect(device + page, page, PROT_NONE) == 0);
    CHECK(pm_fault_install() == 0);
    for (int i = 0; i < 4; i++) {
        pm_mapping m = mapping_of(device, 2 * page);
        size_t moved = 99;
        int error;
        memset(user, 0xee, sizeof(user));
        memset(device, 0x55, page);
        error = pm_copy_from(&m, page - 24, user, 64, widths[i], &moved);
        say("{\"way\": \"from\", \"width\": %d, \"error\": %d, \"moved\": %zu, "
            "\"address\": %lld, \"user\": \"%s\", \"users\": %u}",
            widths[i], error, moved,
            (long long)(pm_last_fault().address - (uintptr_t)(device + page)), hex(user, 32),
            m.users);
        moved = 99;
        error = pm_copy_to(&m, page - 24, user, 64, widths[i], &moved);
        say("{\"way\": \"to\", \"width\": %d, \"error\": %d, \"moved\": %zu, "
            "\"address\": %lld, \"users\": %u}",
            widths[i], error, moved,
            (long long)(pm_last_fault().address - (uintptr_t)(device + page)), m.users);
    }
}

/* A handler that mends the second page and says that the mapping closes: the copy ends
 * behind the access that it interrupted, which was made and counts. */
static pm_mapping closing_mapping;

static void close_and_mend(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)info;
    (void)context;
    closing_mapping.closing = 1;
    mprotect((uint8_t *)closing_mapping.base + page_size(), page_size(), PROT_READ | PROT_WRITE);
}

static void closing_between(void)
{
    size_t page = page_size();

    handle(SIGSEGV, close_and_mend); /* and not ours, which would end the copy */
    for (int to = 0; to < 2; to++) {
        size_t moved = 99;
        int error;
        closing_mapping = mapping_of(pages(2, PROT_READ | PROT_WRITE), 2 * page);
        memset((uint8_t *)closing_mapping.base, 0x55, 2 * page);
        CHECK(mprotect((uint8_t *)closing_mapping.base + page, page, PROT_NONE) == 0);
        memset(user, 0xee, sizeof(user));
        error = to ? pm_copy_to(&closing_mapping, page - 8, user, 32, 4, &moved)
                   : pm_copy_from(&closing_mapping, page - 8, user, 32, 4, &moved);
        say("{\"way\": \"%s\", \"error\": %d, \"moved\": %zu, \"bytes\": \"%s\"}",
            to ? "to" : "from", error, moved,
            to ? hex(closing_mapping.base + page - 8, 32) : hex(user, 32));
    }
}

const struct test_case copy_cases[] = {
    {"copies", copies},
    {"copies_closed", closed},
    {"copies_into_protected", into_protected},
    {"copies_closing_between", closing_between},
    {NULL, NULL},
};
