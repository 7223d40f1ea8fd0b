/* Accesses of the core and of specimens, recorded by the product's own recorders.
 *
 * ./recorded fault         the fault recorder; prints what it saw, as worker.py does
 * ./recorded marks ADDRESS leaves marks for the emulator's plugin, see qemu_plugin.c
 * ./recorded nothing       ends at once
 *
 * One line of JSON for each: {"subject", "width", "direction", "offset", "touches"}.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pymmio/check/accessors/recorder.h"
#include "pymmio/check/accessors/specimens.h"
#include "pymmio/mmio/mapping.h"

#define CHECK(condition) ((condition) ? (void)0 : give_up(#condition))
#define OFFSET 0x48

static pm_mapping mapping;
static uint8_t *marks;

static void give_up(const char *what)
{
    fprintf(stderr, "recorded: not so: %s\n", what);
    exit(3);
}

typedef void call(int width);

static void core_read(int width)
{
    uint64_t value;
    CHECK(pm_read(&mapping, OFFSET, width, &value) == PM_OK);
}

static void core_write(int width) { CHECK(pm_write(&mapping, OFFSET, width, 0x5a) == PM_OK); }

#define SPECIMEN(name)                                                \
    static void name##_read(int width)                                \
    {                                                                 \
        const void *p = (const void *)(mapping.base + OFFSET);        \
        switch (width) {                                              \
        case 1: pm_##name##_read8(p); break;                          \
        case 2: pm_##name##_read16(p); break;                         \
        case 4: pm_##name##_read32(p); break;                         \
        default: pm_##name##_read64(p); break;                        \
        }                                                             \
    }                                                                 \
    static void name##_write(int width)                               \
    {                                                                 \
        void *p = (void *)(mapping.base + OFFSET);                    \
        switch (width) {                                              \
        case 1: pm_##name##_write8(p, 0x5a); break;                   \
        case 2: pm_##name##_write16(p, 0x5a); break;                  \
        case 4: pm_##name##_write32(p, 0x5a); break;                  \
        default: pm_##name##_write64(p, 0x5a); break;                 \
        }                                                             \
    }

SPECIMEN(plain)
SPECIMEN(builtin)
SPECIMEN(bytewise)
SPECIMEN(doubled)

static const struct {
    const char *name;
    call *read, *write;
} SUBJECTS[] = {
    {"core", core_read, core_write},
    {"plain", plain_read, plain_write},
    {"builtin", builtin_read, builtin_write},
    {"bytewise", bytewise_read, bytewise_write},
    {"doubled", doubled_read, doubled_write},
};

static void mark(size_t offset) { pm_mark(marks + offset); }

static void record(call *subject, int width)
{
    const pm_recorded *log = pm_recorder_log();
    long count;

    if (marks) {
        for (unsigned digit = 0; digit < 16; digit++)
            mark(0x100 + 16 * digit + ((uintptr_t)mapping.base >> 4 * digit & 15));
        mark(0);
        subject(width);
        mark(1);
        return;
    }
    CHECK(!pm_recorder_start((void *)mapping.base, mapping.size));
    subject(width);
    count = pm_recorder_stop();
    CHECK(count >= 0);
    for (long i = 0; i < count; i++) {
        printf("%s{\"offset\": %lld, \"write\": %d, \"code\": \"", i ? ", " : "",
               (long long)(log[i].address - (uintptr_t)mapping.base), log[i].is_write);
        for (uint32_t k = 0; k < log[i].code_size; k++)
            printf("%02x", log[i].code[k]);
        printf("\"}");
    }
}

static void record_all(const char *name, const char *direction, call *subject)
{
    for (int width = 1; width <= 8; width *= 2) {
        printf("{\"subject\": \"%s\", \"width\": %d, \"direction\": \"%s\", \"offset\": %d, "
               "\"touches\": [", name, width, direction, OFFSET);
        record(subject, width);
        printf("]}\n");
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    CHECK(argc >= 2);
    if (!strcmp(argv[1], "nothing"))
        return 0;
    mapping.size = page;
    mapping.base = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(mapping.base != MAP_FAILED);
    if (!strcmp(argv[1], "marks")) {
        void *wanted = (void *)(uintptr_t)strtoull(argv[2], NULL, 0);
        marks = mmap(wanted, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(marks == wanted);
    } else if (!pm_recorder_works()) {
        fprintf(stderr, "recorded: this architecture has no fault recorder\n");
        return 4;
    }
    for (size_t i = 0; i < sizeof(SUBJECTS) / sizeof(SUBJECTS[0]); i++) {
        record_all(SUBJECTS[i].name, "read", SUBJECTS[i].read);
        record_all(SUBJECTS[i].name, "write", SUBJECTS[i].write);
    }
    return 0;
}
