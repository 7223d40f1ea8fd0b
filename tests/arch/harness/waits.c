/* pm_wait: how each wait ends. */
#include <sys/mman.h>
#include <time.h>

#include "harness.h"

static _Alignas(8) uint8_t reg[8];
static pm_mapping m;

static void put(uint32_t value)
{
    __atomic_store_n((uint32_t *)(void *)reg, value, __ATOMIC_RELEASE);
}

static void wait32(const char *name, int swap, uint64_t mask, uint64_t wanted, int64_t deadline_ns,
                   int64_t slice_ns)
{
    uint64_t last = PATTERN;
    int64_t start = now_ns();
    int error = pm_wait(&m, 0, 4, swap, mask, wanted, start + deadline_ns, slice_ns, &last);

    say("{\"wait\": \"%s\", \"error\": %d, \"last\": %llu, \"is_late\": %d, \"users\": %u}", name,
        error, (unsigned long long)last, now_ns() - start >= deadline_ns, m.users);
}

static void ends(void)
{
    m = mapping_of(reg, sizeof(reg));
    put(0x12345678);
    wait32("match", 0, 0xff00, 0x5600, 100 * SECOND_NS, 100 * SECOND_NS);
    wait32("match swapped", 1, 0xff00, 0x3400, 100 * SECOND_NS, 100 * SECOND_NS);
    wait32("match although too late", 0, 0xff, 0x78, -1, SECOND_NS);
    wait32("deadline", 0, 0xff, 1, SECOND_NS / 200, 100 * SECOND_NS);
    wait32("slice", 0, 0xff, 1, 100 * SECOND_NS, SECOND_NS / 200);
    m.closing = 1;
    wait32("closed before", 0, 0xff, 0x78, 100 * SECOND_NS, 100 * SECOND_NS);
}

static void every_width(void)
{
    const int widths[] = WIDTHS;

    m = mapping_of(reg, sizeof(reg));
    for (int i = 0; i < 8; i++)
        reg[i] = (uint8_t)(0x81 + i);
    for (int i = 0; i < 4; i++)
        for (int swap = 0; swap < 2; swap++) {
            uint64_t last = 0;
            int error = pm_wait(&m, 0, widths[i], swap, 0, 0, now_ns(), SECOND_NS, &last);
            say("{\"width\": %d, \"swap\": %d, \"error\": %d, \"last\": %llu}", widths[i], swap,
                error, (unsigned long long)last);
        }
}

static void wait_for_user(void)
{
    while (!__atomic_load_n(&m.users, __ATOMIC_SEQ_CST))
        ;
}

static void write_later(void *value)
{
    wait_for_user();
    put((uint32_t)(uintptr_t)value);
}

static void close_later(void *ignored)
{
    (void)ignored;
    wait_for_user();
    __atomic_store_n(&m.closing, 1, __ATOMIC_SEQ_CST);
}

static void another_thread_writes(void)
{
    m = mapping_of(reg, sizeof(reg));
    put(0);
    in_second_thread(write_later, (void *)7);
    wait32("written meanwhile", 0, 0xf, 7, 100 * SECOND_NS, 100 * SECOND_NS);
}

static void another_thread_closes(void)
{
    m = mapping_of(reg, sizeof(reg));
    put(0);
    in_second_thread(close_later, NULL);
    wait32("closed meanwhile", 0, 0xf, 7, 100 * SECOND_NS, 100 * SECOND_NS);
}

static void fault(void)
{
    uint8_t *p = pages(1, PROT_NONE);

    CHECK(pm_fault_install() == 0);
    m = mapping_of(p, page_size());
    wait32("fault", 0, 0xf, 7, 100 * SECOND_NS, 100 * SECOND_NS);
    say("{\"address\": %lld}", (long long)(pm_last_fault().address - (uintptr_t)p));
}

const struct test_case wait_cases[] = {
    {"wait_ends", ends},
    {"wait_every_width", every_width},
    {"wait_written_meanwhile", another_thread_writes},
    {"wait_closed_meanwhile", another_thread_closes},
    {"wait_fault", fault},
    {NULL, NULL},
};
