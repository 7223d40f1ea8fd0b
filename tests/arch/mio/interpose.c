/* What stands before the C library: sigaction, getauxval, syscall. */
#include "emulator.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/auxv.h>

#define HWCAP_PCI_MIO (1UL << 21)

static const int SIGNALS[] = {SIGILL, SIGSEGV, SIGBUS};
#define N_SIGNALS (sizeof(SIGNALS) / sizeof(SIGNALS[0]))

typedef int (*sigaction_t)(int, const struct sigaction *, struct sigaction *);
static struct sigaction of_program[N_SIGNALS]; /* what it believes to be installed */
static sigaction_t real_sigaction;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int index_of(int signal_number)
{
    for (size_t i = 0; i < N_SIGNALS; i++)
        if (SIGNALS[i] == signal_number)
            return (int)i;
    return -1;
}

static void pass_on(int signal_number, siginfo_t *info, void *context)
{
    const struct sigaction action = of_program[index_of(signal_number)];

    if (action.sa_flags & SA_SIGINFO) {
        action.sa_sigaction(signal_number, info, context);
    } else if (action.sa_handler == SIG_IGN && info->si_code <= 0) {
        return;
    } else if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
        struct sigaction by_default;
        memset(&by_default, 0, sizeof(by_default));
        real_sigaction(signal_number, &by_default, NULL);
        if (info->si_code <= 0)
            raise(signal_number);
    } else {
        action.sa_handler(signal_number);
    }
}

static void on_signal(int signal_number, siginfo_t *info, void *context)
{
    siginfo_t fault;

    memset(&fault, 0, sizeof(fault));
    touch_faulted(signal_number, info);
    if (signal_number == SIGILL && info->si_code > 0 && execute(info, context, &fault)) {
        if (fault.si_signo)
            pass_on(fault.si_signo, &fault, context);
        return;
    }
    pass_on(signal_number, info, context);
}

__attribute__((constructor)) static void stay_in_front(void)
{
    struct sigaction ours;

    real_sigaction = (sigaction_t)next("sigaction");
    memset(&ours, 0, sizeof(ours));
    ours.sa_sigaction = on_signal;
    ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    for (size_t i = 0; i < N_SIGNALS; i++)
        real_sigaction(SIGNALS[i], &ours, &of_program[i]);
}

int sigaction(int signal_number, const struct sigaction *action, struct sigaction *former)
{
    int i = index_of(signal_number);
    struct sigaction before;

    if (!real_sigaction)
        real_sigaction = (sigaction_t)next("sigaction");
    if (i < 0)
        return real_sigaction(signal_number, action, former);
    pthread_mutex_lock(&lock);
    before = of_program[i];
    if (action)
        of_program[i] = *action;
    if (former)
        *former = before;
    pthread_mutex_unlock(&lock);
    return 0;
}

unsigned long getauxval(unsigned long type)
{
    unsigned long (*real)(unsigned long) = (unsigned long (*)(unsigned long))next("getauxval");
    unsigned long value = real(type);

    return type == AT_HWCAP && has_instructions() ? value | HWCAP_PCI_MIO : value;
}

long real_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    static long (*real)(long, ...);

    if (!real)
        real = (long (*)(long, ...))next("syscall");
    return real(number, a, b, c, d, e, f);
}

long syscall(long number, ...)
{
    va_list list;
    long a[6];

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == 352 || number == 353) {
        long result;

        if (!is_by_kernel())
            return pci_call(number, (volatile void *)a[0], (void *)a[1], (size_t)a[2]);
        count(number == 353 ? READ_CALL : WRITE_CALL, (size_t)a[2]);
        if (injected_result(&result)) {
            if (result < 0)
                errno = (int)-result;
            return result < 0 ? -1 : result;
        }
    }
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
