/* The three ways of a doorbell, rung through the pointer as queue engines do. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "pymmio/mmio/doorbell_setup.h"

static void report(const char *way, pm_doorbell *db, int error, const volatile void *bytes)
{
    say("{\"way\": \"%s\", \"error\": %d, \"errno\": %d, \"rings\": %llu, \"pending\": %u, "
        "\"has_pending\": %u, \"bytes\": \"%s\", \"cc\": %d, \"status\": %d}",
        way, error, db->error, (unsigned long long)db->rings, db->pending, db->has_pending,
        bytes ? hex(bytes, 12) : "", db->cc, db->status);
}

static void mapped(void)
{
    static _Alignas(8) uint8_t cell[12];
    pm_mapping m = mapping_of(cell, sizeof(cell));

    for (int swap = 0; swap < 2; swap++) {
        pm_doorbell db = {.width = 4};
        memset(cell, 0xee, sizeof(cell));
        pm_doorbell_set_mapped(&db, &m, 4, swap);
        report(swap ? "swapped" : "straight", &db, db.ring(&db, 0x01020304), cell);
    }
    pm_doorbell db = {.width = 4};
    pm_doorbell_set_mapped(&db, &m, 4, 0);
    memset(cell, 0xee, sizeof(cell));
    m.closing = 1;
    report("closing", &db, db.ring(&db, 0x01020304), cell);
    pm_doorbell_set_closed(&db);
    report("closed", &db, db.ring(&db, 0x01020304), cell);
}

static void fault(void)
{
    uint8_t *p = truncated_page();
    pm_mapping m = mapping_of(p, page_size());
    pm_doorbell db = {.width = 4};

    CHECK(pm_fault_install() == 0);
    pm_doorbell_set_mapped(&db, &m, 8, 0);
    report("fault", &db, db.ring(&db, 1), NULL);
    say("{\"signal\": %d, \"address\": %lld, \"users\": %u}", pm_last_fault().signal,
        (long long)(pm_last_fault().address - (uintptr_t)p), m.users);
}

static void by_syscall(void)
{
    int fd = memfd_create("doorbell", 0);
    uint8_t bytes[12];

    CHECK(fd >= 0);
    for (int swap = 0; swap < 2; swap++) {
        pm_doorbell db = {.width = 4};
        int error;
        memset(bytes, 0xee, sizeof(bytes));
        CHECK(pwrite(fd, bytes, sizeof(bytes), 0) == sizeof(bytes));
        pm_doorbell_set_syscall(&db, fd, 4, swap);
        error = db.ring(&db, 0x01020304);
        CHECK(pread(fd, bytes, sizeof(bytes), 0) == sizeof(bytes));
        report(swap ? "swapped" : "straight", &db, error, bytes);
    }
    pm_doorbell db = {.width = 4};
    close(fd);
    pm_doorbell_set_syscall(&db, fd, 4, 0);
    report("bad descriptor", &db, db.ring(&db, 1), NULL);
    pm_doorbell_set_syscall(&db, -1, 4, 0);
    report("no descriptor", &db, db.ring(&db, 1), NULL);
}

static void by_python(void)
{
    pm_doorbell db = {.width = 4};

    pm_doorbell_set_python(&db);
    report("first", &db, db.ring(&db, 5), NULL);
    report("second", &db, pm_doorbell_ring(&db, 6), NULL);
}

const struct test_case doorbell_cases[] = {
    {"doorbell_mapped", mapped},
    {"doorbell_fault", fault},
    {"doorbell_syscall", by_syscall},
    {"doorbell_python", by_python},
    {NULL, NULL},
};
