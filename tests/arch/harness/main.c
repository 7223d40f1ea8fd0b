#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout); /* what comes next may kill the process */
}

uint32_t way = PM_WAY_LOAD;

int failed_at(int error, const volatile void *p, int signal_number)
{
    struct pm_fault fault = pm_last_fault();
    uintptr_t mask = ~(uintptr_t)0;

    if (way == PM_WAY_SYSCALL)
        return error == PM_ERRNO && !fault.signal && fault.address == (uintptr_t)p;
#ifdef __s390x__
    mask = signal_number == SIGBUS ? 0 : ~(uintptr_t)0xfff; /* see README.md, about qemu-user */
#endif
    return error == PM_FAULT && fault.signal == signal_number &&
           (fault.address & mask) == ((uintptr_t)p & mask);
}

void give_up(const char *what)
{
    fprintf(stderr, "harness: not so: %s\n", what);
    exit(3);
}

const char *hex(const volatile void *bytes, size_t size)
{
    static char texts[4][129];
    static unsigned turn;
    char *text = texts[turn++ % 4];

    CHECK(size <= 64);
    text[0] = 0;
    for (size_t i = 0; i < size; i++)
        sprintf(text + 2 * i, "%02x", ((const volatile uint8_t *)bytes)[i]);
    return text;
}

size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

uint8_t *pages(size_t count, int prot)
{
    void *p = mmap(NULL, count * page_size(), prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

uint8_t *truncated_page(void)
{
    int fd = memfd_create("truncated", 0);
    void *p;

    CHECK(fd >= 0 && ftruncate(fd, (off_t)page_size()) == 0);
    p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED && ftruncate(fd, 0) == 0);
    close(fd);
    return p;
}

pm_mapping mapping_of(void *base, size_t size)
{
    pm_mapping m = {.base = base, .size = size, .way = way};
    return m;
}

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

void handle(int signal_number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    CHECK(sigaction(signal_number, &action, NULL) == 0);
}

static struct {
    pthread_t thread;
    void (*function)(void *);
    void *argument;
    int is_running;
} second;

static void *run_second(void *ignored)
{
    second.function(second.argument);
    return ignored;
}

void in_second_thread(void (*function)(void *), void *argument)
{
    second.function = function;
    second.argument = argument;
    second.is_running = 1;
    CHECK(pthread_create(&second.thread, NULL, run_second, NULL) == 0);
}

static const struct test_case *find(const char *name)
{
    const struct test_case *const all[] = {access_cases,   copy_cases,  wait_cases,
                                           doorbell_cases, fault_cases, foreign_cases,
                                           handler_cases,  way_cases,   plain_cases};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (const struct test_case *c = all[i]; c->name; c++)
            if (!strcmp(c->name, name))
                return c;
    return NULL;
}

int main(int argc, char **argv)
{
    const struct rlimit no_core = {0, 0};
    const struct test_case *c = argc > 1 ? find(argv[1]) : NULL;
    const char *const ways[] = {"load", "mio", "syscall"};

    for (uint32_t i = 0; argc == 3 && i < 3; i++)
        if (!strcmp(argv[2], ways[i]))
            way = i;
    if (!c) {
        fprintf(stderr, "usage: %s CASE [WAY]\n", argv[0]);
        return 2;
    }
    setrlimit(RLIMIT_CORE, &no_core); /* some cases end by a signal */
    alarm(50);                        /* and none goes on for ever */
    c->run();
    if (second.is_running)
        pthread_join(second.thread, NULL);
    say("{\"end\": true}");
    return 0;
}
