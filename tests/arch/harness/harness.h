/* Exercises the C core without Python.  ./harness CASE [WAY] runs one case, which prints what it
 * observed as lines of JSON; the tests beside this folder judge it. */
#ifndef HARNESS_H
#define HARNESS_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "pymmio/arch/fault.h"
#include "pymmio/mmio/mapping.h"

struct test_case {
    const char *name;
    void (*run)(void);
};
extern const struct test_case access_cases[], copy_cases[], wait_cases[], doorbell_cases[],
    fault_cases[], foreign_cases[], handler_cases[], plain_cases[], way_cases[];

extern uint32_t way; /* PM_WAY_*, as the second argument says; pm_mapping of mapping_of() have it */

/* Print one line of JSON. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Print a message and leave with 3: the harness itself is at a loss. */
void give_up(const char *what) __attribute__((noreturn));
#define CHECK(condition) ((condition) ? (void)0 : give_up(#condition))

/* Bytes as hexadecimal; up to four results are valid at a time. */
const char *hex(const volatile void *bytes, size_t size);

size_t page_size(void);
uint8_t *pages(size_t count, int prot);    /* anonymous memory */
uint8_t *truncated_page(void);             /* SIGBUS when touched */
pm_mapping mapping_of(void *base, size_t size);
int64_t now_ns(void);

void handle(int signal_number, void (*handler)(int, siginfo_t *, void *));
void in_second_thread(void (*function)(void *), void *argument); /* joined at exit */

/* Whether an access at p failed as it does where nothing answers: by that signal, or in way
 * syscall by an errno.  s390x tells the page of a fault only. */
int failed_at(int error, const volatile void *p, int signal_number);

#define WIDTHS {1, 2, 4, 8}
#define PATTERN 0x8192a3b4c5d6e7f8u /* each byte with its top bit set: sign extension shows */
#define SECOND_NS INT64_C(1000000000)

#endif
