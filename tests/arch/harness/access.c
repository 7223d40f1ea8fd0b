/* Single accesses on plain memory: value, width, byte order, neighbours. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "harness.h"

static _Alignas(16) uint8_t cell[16];

static void fill(void)
{
    for (unsigned i = 0; i < sizeof(cell); i++)
        cell[i] = (uint8_t)(0xf0 - 7 * i);
}

static void facts(void)
{
    say("{\"records\": %zu, \"page\": %zu}", pm_ex_count(), page_size());
}

static void loads(void)
{
    const int widths[] = WIDTHS;

    for (int i = 0; i < 4; i++)
        for (int offset = 0; offset < 16; offset += widths[i]) {
            uint64_t value = PATTERN;
            int error;
            fill();
            error = pm_load(way, cell + offset, widths[i], &value);
            say("{\"width\": %d, \"offset\": %d, \"error\": %d, \"value\": %llu, "
                "\"cell\": \"%s\"}",
                widths[i], offset, error, (unsigned long long)value, hex(cell, 16));
        }
}

static void stores(void)
{
    const int widths[] = WIDTHS;

    for (int i = 0; i < 4; i++)
        for (int offset = 0; offset < 16; offset += widths[i]) {
            uint64_t back = 0;
            int error, back_error;
            fill();
            error = pm_store(way, cell + offset, widths[i], PATTERN);
            back_error = pm_load(way, cell + offset, widths[i], &back);
            say("{\"width\": %d, \"offset\": %d, \"error\": %d, \"cell\": \"%s\", "
                "\"back_error\": %d, \"back\": %llu}",
                widths[i], offset, error, hex(cell, 16), back_error, (unsigned long long)back);
        }
}

/* What the accessors do with memory that may not be touched while no handler is there. */
static void protected_without_handler(void)
{
    const int widths[] = WIDTHS;
    uint8_t *p = pages(1, PROT_NONE);

    for (int i = 0; i < 4; i++) {
        uint64_t value = PATTERN;
        int load = pm_load(way, p, widths[i], &value);
        int store = pm_store(way, p, widths[i], PATTERN);
        say("{\"width\": %d, \"load\": %d, \"store\": %d}", widths[i], load, store);
    }
}

static void barriers(void)
{
    pm_dma_wmb();
    pm_dma_rmb();
    pm_dma_mb();
    pm_mmio_wmb();
    pm_cpu_relax();
}

/* pm_read and pm_write, as Python calls them: before and after the mapping is closing. */
static void mapped(void)
{
    const int widths[] = WIDTHS;

    for (int closing = 0; closing < 2; closing++)
        for (int i = 0; i < 4; i++) {
            pm_mapping m = mapping_of(cell, sizeof(cell));
            uint64_t value = 0;
            int read, write;
            fill();
            m.closing = (uint32_t)closing;
            write = pm_write(&m, 8, widths[i], PATTERN);
            read = pm_read(&m, 8, widths[i], &value);
            say("{\"closing\": %d, \"width\": %d, \"read\": %d, \"write\": %d, \"value\": %llu, "
                "\"cell\": \"%s\", \"users\": %u}",
                closing, widths[i], read, write, (unsigned long long)value, hex(cell, 16),
                m.users);
        }
}

const struct test_case access_cases[] = {
    {"facts", facts},
    {"loads", loads},
    {"stores", stores},
    {"protected_without_handler", protected_without_handler},
    {"barriers", barriers},
    {"mapped", mapped},
    {NULL, NULL},
};
