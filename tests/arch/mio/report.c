/* What was executed, what is injected, and the settings. */
#include "emulator.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 128 /* the widest access */

static const char *const NAMES[N_OPERATIONS] = {"PCILGI", "PCISTGI", "PCISTBI",
                                                "PCIWB",  "353",     "352"};
static uint64_t executed[N_OPERATIONS][MOST + 1];
static uint64_t instructions, calls;
static struct {
    uint64_t at; /* the number of the instruction; 0: none */
    int cc, status;
} condition;
static struct {
    uint64_t at;
    long value;
} result;

int is_by_kernel(void)
{
    const char *by = getenv("MIO_BY");
    return by && !strcmp(by, "kernel");
}

int has_instructions(void)
{
    const char *hwcap = getenv("MIO_HWCAP");
    return !hwcap || strcmp(hwcap, "0") != 0;
}

__attribute__((constructor)) static void read_settings(void)
{
    const char *text = getenv("MIO_INJECT");
    unsigned long at;

    if (text && sscanf(text, "%lu %d %d", &at, &condition.cc, &condition.status) == 3)
        condition.at = at;
    text = getenv("MIO_INJECT_CALL");
    if (text && sscanf(text, "%lu %ld", &at, &result.value) == 2)
        result.at = at;
}

void count(enum operation operation, size_t width)
{
    uint64_t *total = operation == READ_CALL || operation == WRITE_CALL ? &calls : &instructions;

    if (operation != BARRIER)
        __atomic_add_fetch(total, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&executed[operation][width > MOST ? MOST : width], 1, __ATOMIC_SEQ_CST);
}

int injected_condition(int *cc, int *status)
{
    if (!condition.at || condition.at != instructions)
        return 0;
    *cc = condition.cc;
    *status = condition.status;
    return 1;
}

int injected_result(long *value)
{
    if (!result.at || result.at != calls)
        return 0;
    *value = result.value;
    return 1;
}

uint64_t mio_executed(int operation, int width) { return executed[operation][width]; }

void mio_inject(int cc, int status)
{
    condition.cc = cc;
    condition.status = status;
    condition.at = instructions + 1;
}

void mio_inject_call(long value)
{
    result.value = value;
    result.at = calls + 1;
}

/* {"PCILGI": {"4": 17}, ...}: how often each operation was executed, by width. */
__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("MIO_REPORT");
    char line[4096];
    int n = 0, fd;

    if (!path)
        return;
    n += snprintf(line + n, sizeof(line) - (size_t)n, "{");
    for (int o = 0; o < N_OPERATIONS; o++) {
        const char *comma = "";
        n += snprintf(line + n, sizeof(line) - (size_t)n, "%s\"%s\": {", o ? ", " : "", NAMES[o]);
        for (int w = 0; w <= MOST; w++)
            if (executed[o][w]) {
                n += snprintf(line + n, sizeof(line) - (size_t)n, "%s\"%d\": %llu", comma, w,
                              (unsigned long long)executed[o][w]);
                comma = ", ";
            }
        n += snprintf(line + n, sizeof(line) - (size_t)n, "}");
    }
    n += snprintf(line + n, sizeof(line) - (size_t)n, "}\n");
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        if (write(fd, line, (size_t)n) != n)
            abort();
        close(fd);
    }
}
