/* Faults that are not device accesses: they belong to the handler that was there before. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "harness.h"

static volatile struct {
    int signal, code, count;
    uintptr_t address, pc;
} seen; /* volatile: written in a handler */
static uint8_t *page;
static sigjmp_buf back;

static void look(int signal_number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    seen.signal = signal_number;
    seen.code = info->si_code;
    seen.address = (uintptr_t)info->si_addr;
    seen.pc = (uintptr_t)PM_PC(uc);
    seen.count++;
}

static void look_and_mend(int signal_number, siginfo_t *info, void *context)
{
    look(signal_number, info, context);
    mprotect(page, page_size(), PROT_READ | PROT_WRITE);
}

static void look_and_leave(int signal_number, siginfo_t *info, void *context)
{
    look(signal_number, info, context);
    siglongjmp(back, 1);
}

static void plain_leave(int signal_number)
{
    seen.signal = signal_number;
    seen.count++;
    siglongjmp(back, 1);
}

static void handle_plain(int signal_number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_NODEFER};
    CHECK(sigaction(signal_number, &action, NULL) == 0);
}

__attribute__((noinline)) static int foreign_load(const volatile uint8_t *p) { return *p; }

/* The same fault without and with our handler on top. */
static void mended(void)
{
    page = pages(1, PROT_READ | PROT_WRITE);
    page[24] = 77;
    handle(SIGSEGV, look_and_mend);
    for (int installed = 0; installed < 2; installed++) {
        int value;
        if (installed)
            CHECK(pm_fault_install() == 0);
        CHECK(mprotect(page, page_size(), PROT_NONE) == 0);
        value = foreign_load(page + 24);
        say("{\"installed\": %d, \"value\": %d, \"signal\": %d, \"code\": %d, \"count\": %d, "
            "\"address\": %lld, \"pc\": %llu}",
            installed, value, seen.signal, seen.code, seen.count,
            (long long)(seen.address - (uintptr_t)page), (unsigned long long)seen.pc);
    }
}

static void left(void)
{
    volatile int times = 0;

    page = pages(1, PROT_NONE);
    CHECK(pm_fault_install() == 0);
    sigsetjmp(back, 1);
    say("{\"count\": %d, \"signal\": %d}", seen.count, seen.signal);
    if (times++ < 5)
        foreign_load(page);
}

static void left_by_siginfo_handler(void)
{
    handle(SIGSEGV, look_and_leave);
    left();
}

static void left_by_plain_handler(void)
{
    handle_plain(SIGSEGV, plain_leave);
    left();
}

static void default_segv(void)
{
    CHECK(pm_fault_install() == 0);
    say("{\"value\": %d}", foreign_load(pages(1, PROT_NONE)));
}

static void default_bus(void)
{
    CHECK(pm_fault_install() == 0);
    say("{\"value\": %d}", foreign_load(truncated_page()));
}

static void ignored(void)
{
    handle_plain(SIGSEGV, SIG_IGN);
    CHECK(pm_fault_install() == 0);
    CHECK(kill(getpid(), SIGSEGV) == 0);
    say("{\"is_alive\": true}"); /* a signal that was sent is ignored as before */
    say("{\"value\": %d}", foreign_load(pages(1, PROT_NONE)));
}

static void sent(void)
{
    handle(SIGBUS, look);
    CHECK(pm_fault_install() == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(kill(getpid(), SIGBUS) == 0);
        say("{\"signal\": %d, \"code\": %d, \"count\": %d}", seen.signal, seen.code, seen.count);
    }
}

static void sent_default(void)
{
    CHECK(pm_fault_install() == 0);
    CHECK(kill(getpid(), SIGBUS) == 0);
    say("{\"is_alive\": true}");
}

/* The former handler returns and mends nothing: the instruction would fault for ever. */
static void never_mended(void)
{
    handle(SIGSEGV, look);
    CHECK(pm_fault_install() == 0);
    say("{\"value\": %d}", foreign_load(pages(1, PROT_NONE)));
}

const struct test_case foreign_cases[] = {
    {"foreign_mended", mended},
    {"foreign_left_by_siginfo_handler", left_by_siginfo_handler},
    {"foreign_left_by_plain_handler", left_by_plain_handler},
    {"foreign_default_segv", default_segv},
    {"foreign_default_bus", default_bus},
    {"foreign_ignored", ignored},
    {"foreign_sent", sent},
    {"foreign_sent_default", sent_default},
    {"foreign_never_mended", never_mended},
    {NULL, NULL},
};
