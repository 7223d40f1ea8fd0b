/* Who holds the signals: before, after, when somebody takes them away, and back. */
#include <sys/mman.h>

#include "harness.h"

static uint8_t *page;
static volatile int taken; /* written in a handler */
static struct sigaction before_thief;

static void states(const char *when)
{
    say("{\"when\": \"%s\", \"segv\": %d, \"bus\": %d, \"ill\": %d, \"usr1\": %d}", when,
        pm_fault_state(SIGSEGV), pm_fault_state(SIGBUS), pm_fault_state(SIGILL),
        pm_fault_state(SIGUSR1));
}

static void installed(void)
{
    states("before");
    CHECK(pm_fault_install() == 0);
    states("installed");
    CHECK(pm_fault_install() == 0);
    states("installed twice");
}

static void take_and_mend(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)info;
    (void)context;
    taken++;
    mprotect(page, page_size(), PROT_READ | PROT_WRITE);
}

static void installed_twice_then_foreign(void)
{
    int value;

    page = pages(1, PROT_NONE);
    handle(SIGSEGV, take_and_mend);
    CHECK(pm_fault_install() == 0 && pm_fault_install() == 0);
    value = *(volatile uint8_t *)page;
    say("{\"foreign\": %d, \"taken\": %d}", value, taken);
}

static void device_load(const char *when)
{
    uint32_t value = 0;
    int error;

    CHECK(mprotect(page, page_size(), PROT_NONE) == 0);
    error = PM_LOAD(32, way, page, &value);
    say("{\"device\": \"%s\", \"error\": %d, \"taken\": %d}", when, error, taken);
}

static void taken_away(void)
{
    int value;

    page = pages(1, PROT_NONE);
    CHECK(pm_fault_install() == 0);
    device_load("ours");
    handle(SIGSEGV, take_and_mend);
    states("taken away");
    device_load("taken away");
    CHECK(pm_fault_install() == 0);
    states("ours again");
    device_load("ours again");
    CHECK(mprotect(page, page_size(), PROT_NONE) == 0);
    value = *(volatile uint8_t *)page;
    say("{\"foreign\": %d, \"taken\": %d}", value, taken);
    device_load("still ours");
}

/* As Python's faulthandler: gives the signal back to its predecessor and raises it again. */
static void restore_and_raise(int signal_number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    say("{\"last words\": %d}", signal_number);
    sigaction(signal_number, &before_thief, NULL);
    raise(signal_number);
}

static void predecessor_of_each_other(void)
{
    CHECK(pm_fault_install() == 0);
    CHECK(sigaction(SIGSEGV, NULL, &before_thief) == 0);
    handle(SIGSEGV, restore_and_raise);
    CHECK(pm_fault_install() == 0);
    say("{\"value\": %d}", *(volatile uint8_t *)pages(1, PROT_NONE));
}

const struct test_case handler_cases[] = {
    {"handler_installed", installed},
    {"handler_installed_twice_then_foreign", installed_twice_then_foreign},
    {"handler_taken_away", taken_away},
    {"handler_predecessor_of_each_other", predecessor_of_each_other},
    {NULL, NULL},
};
