/* Faults of device accesses: each one is PM_FAULT with its address, and the program goes on. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "harness.h"

static void each_access(const char *kind, uint8_t *p)
{
    const int widths[] = WIDTHS;

    CHECK(pm_fault_install() == 0);
    for (int i = 0; i < 4; i++)
        for (int store = 0; store < 2; store++) {
            uint64_t value = 0;
            struct pm_fault fault;
            int offset = 16 * i + 8 * store, error;
            errno = 4711;
            error = store ? pm_store(way, p + offset, widths[i], PATTERN)
                          : pm_load(way, p + offset, widths[i], &value);
            fault = pm_last_fault();
            say("{\"kind\": \"%s\", \"width\": %d, \"store\": %d, \"error\": %d, \"signal\": %d, "
                "\"code\": %d, \"offset\": %d, \"address\": %lld, \"errno\": %d, "
                "\"failed\": %d, \"number\": %d}",
                kind, widths[i], store, error, fault.signal, fault.code, offset,
                (long long)(fault.address - (uintptr_t)p), errno,
                failed_at(error, p + offset, fault.signal), fault.error);
        }
}

static void protected(void)
{
    uint8_t *p = pages(1, PROT_NONE);

    each_access("protected", p);
    CHECK(mprotect(p, page_size(), PROT_READ | PROT_WRITE) == 0);
    each_access("opened again", p); /* the address is that of the last fault: not judged */
}

static void truncated(void) { each_access("truncated", truncated_page()); }

static void unmapped(void)
{
    uint8_t *p = pages(1, PROT_NONE);

    CHECK(munmap(p, page_size()) == 0);
    each_access("unmapped", p);
}

static void read_only(void)
{
    uint8_t *p = pages(1, PROT_READ);

    each_access("read-only", p);
}

#define MANY 1000

static void many(void)
{
    uint8_t *p = pages(1, PROT_NONE);
    int wrong = 0;

    CHECK(pm_fault_install() == 0);
    for (int i = 0; i < MANY; i++) {
        uint32_t value;
        int error = PM_LOAD(32, way, p + 4 * i, &value);
        wrong += !failed_at(error, p + 4 * i, SIGSEGV);
    }
    say("{\"faults\": %d, \"wrong\": %d}", MANY, wrong);
}

static uint8_t *place[2];
static int wrong_in[2], signal_in[2];
static unsigned at_start, half_way;

/* Both threads are inside their loops before either goes on. */
static void meet(unsigned *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) < 2)
        ;
}

static void fault_often(void *argument)
{
    int me = (int)(uintptr_t)argument;

    meet(&at_start);
    for (int i = 0; i < MANY; i++) {
        uint64_t value;
        uint8_t *p = place[me] + 8 * (i % 100);
        int error = i & 1 ? PM_STORE(64, way, p, PATTERN) : PM_LOAD(64, way, p, &value);
        int is_right = failed_at(error, p, signal_in[me]);
        if (i == MANY / 2)
            meet(&half_way);
        wrong_in[me] += !is_right;
    }
}

static unsigned is_done;

static void fault_and_finish(void *argument)
{
    fault_often(argument);
    __atomic_store_n(&is_done, 1, __ATOMIC_SEQ_CST);
}

static void two_threads(void)
{
    place[0] = pages(1, PROT_NONE);
    place[1] = truncated_page();
    signal_in[0] = SIGSEGV;
    signal_in[1] = SIGBUS;
    CHECK(pm_fault_install() == 0);
    in_second_thread(fault_and_finish, (void *)1);
    fault_often((void *)0);
    while (!__atomic_load_n(&is_done, __ATOMIC_SEQ_CST))
        ;
    say("{\"faults\": %d, \"wrong\": [%d, %d]}", MANY, wrong_in[0], wrong_in[1]);
}

const struct test_case fault_cases[] = {
    {"fault_protected", protected},
    {"fault_truncated", truncated},
    {"fault_unmapped", unmapped},
    {"fault_read_only", read_only},
    {"fault_many", many},
    {"fault_two_threads", two_threads},
    {NULL, NULL},
};
