/* The exception table's signal handler.
 *
 * Only faults that the kernel raises (si_code > 0) at an instruction of the table are
 * taken: the thread goes on at the fix-up, which makes the accessor return PM_FAULT.
 * Everything else goes to the handler that was installed before, unchanged.
 */
#define _GNU_SOURCE
#include "fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "io.h"

/* The linker makes these two; weak because an architecture may have no record yet. */
extern const struct pm_ex_record __start_pm_extable[]
    __attribute__((weak, visibility("hidden")));
extern const struct pm_ex_record __stop_pm_extable[]
    __attribute__((weak, visibility("hidden")));

/* initial-exec: no lazy allocation inside a signal handler. */
#define PM_THREAD __thread __attribute__((tls_model("initial-exec")))

static PM_THREAD struct pm_fault last_fault;
static PM_THREAD int is_chaining;
static PM_THREAD struct {
    uintptr_t pc, address;
    unsigned count;
    struct timespec since;
} repeated;

static PM_THREAD struct pm_guard *guard;

static const int SIGNALS[] = {
    SIGBUS,
    SIGSEGV,
#ifdef __s390x__
    SIGILL, /* a plain access or an MIO instruction that the machine lacks */
#endif
};
#define N_SIGNALS (sizeof(SIGNALS) / sizeof(SIGNALS[0]))

static struct sigaction former[N_SIGNALS];
static int is_installed[N_SIGNALS];
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;

static int index_of(int signal_number)
{
    for (size_t i = 0; i < N_SIGNALS; i++)
        if (SIGNALS[i] == signal_number)
            return (int)i;
    return -1;
}

static uintptr_t fixup_of(uintptr_t pc)
{
    for (const struct pm_ex_record *r = __start_pm_extable; r < __stop_pm_extable; r++)
        if ((uintptr_t)&r->insn + (intptr_t)r->insn == pc)
            return (uintptr_t)&r->fixup + (intptr_t)r->fixup;
    return 0;
}

/* Whether this thread is inside a guarded copy and the fault is in its memory.  Some machines
 * tell the page only. */
static int is_guarded(uintptr_t address)
{
    const struct pm_guard *g = guard;

    if (!g)
        return 0;
    for (int i = 0; i < 2; i++)
        if (address >= (g->range[i].start & ~(uintptr_t)4095) && address < g->range[i].end)
            return 1;
    return 0;
}

struct pm_guard *pm_guard_set(struct pm_guard *g)
{
    struct pm_guard *before = guard;

    guard = g;
    return before;
}

/* Whether an instruction faulted, and faults again if nothing is done: not a signal that somebody
 * sent, nor the report of bad memory that nobody has touched (BUS_MCEERR_AO). */
static int is_raised_by_instruction(int signal_number, const siginfo_t *info)
{
#ifdef BUS_MCEERR_AO
    if (signal_number == SIGBUS && info->si_code == BUS_MCEERR_AO)
        return 0;
#endif
    return info->si_code > 0;
}

static void die_by_default(int signal_number, const siginfo_t *info)
{
    struct sigaction by_default;
    memset(&by_default, 0, sizeof(by_default));
    by_default.sa_handler = SIG_DFL;
    sigaction(signal_number, &by_default, NULL);
    if (!is_raised_by_instruction(signal_number, info)) /* nothing will raise it again */
        raise(signal_number);
}

/* A former handler that returns without mending the fault (a faulthandler that was
 * switched off, for instance) would let the instruction fault for ever. */
#define REPEAT_LIMIT 1000

static int is_endless(uintptr_t pc, const siginfo_t *info)
{
    uintptr_t address = (uintptr_t)info->si_addr;
    struct timespec now;

    if (info->si_code <= 0)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (repeated.pc != pc || repeated.address != address ||
        now.tv_sec - repeated.since.tv_sec > 1) {
        repeated.pc = pc;
        repeated.address = address;
        repeated.count = 0;
        repeated.since = now;
        return 0;
    }
    return ++repeated.count > REPEAT_LIMIT;
}

static void hand_on(int signal_number, siginfo_t *info, void *context, uintptr_t pc)
{
    const struct sigaction *to = &former[index_of(signal_number)];
    int was_chaining = is_chaining;

    /* faulthandler restores *its* predecessor, which may be this handler, and raises the
     * signal again: the second time there is nobody left to ask.  A fault of an instruction
     * is no such second time: the former handler may have left by siglongjmp, and nothing
     * then said that its call was over. */
    if ((was_chaining && info->si_code <= 0) || is_endless(pc, info)) {
        die_by_default(signal_number, info);
        return;
    }
    if (to->sa_flags & SA_SIGINFO) {
        is_chaining = 1;
        to->sa_sigaction(signal_number, info, context);
        is_chaining = was_chaining;
    } else if (to->sa_handler == SIG_IGN && info->si_code <= 0) {
        return;
    } else if (to->sa_handler == SIG_DFL || to->sa_handler == SIG_IGN) {
        die_by_default(signal_number, info);
    } else {
        is_chaining = 1;
        to->sa_handler(signal_number);
        is_chaining = was_chaining;
    }
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    ucontext_t *uc = context;
    uintptr_t pc = PM_FAULT_PC(signal_number, info, uc);

    if (is_raised_by_instruction(signal_number, info)) {
        uintptr_t fixup = fixup_of(pc);
        if (!fixup && is_guarded((uintptr_t)info->si_addr)) {
            last_fault = (struct pm_fault){
                .signal = signal_number,
                .code = info->si_code,
                .address = (uint64_t)(uintptr_t)info->si_addr,
            };
            errno = saved_errno;
            siglongjmp(guard->jump, 1); /* SA_NODEFER: no mask to restore */
        }
        if (fixup) {
            last_fault = (struct pm_fault){
                .signal = signal_number,
                .code = info->si_code,
                .address = (uint64_t)(uintptr_t)info->si_addr,
            };
            PM_PC(uc) = fixup;
            errno = saved_errno;
            return;
        }
    }
    hand_on(signal_number, info, context, pc);
    errno = saved_errno;
}

static int is_handler_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_fault;
}

int pm_fault_install(void)
{
    int error = 0;

    pthread_mutex_lock(&install_lock);
    for (size_t i = 0; i < N_SIGNALS && !error; i++) {
        struct sigaction now, ours;

        if (sigaction(SIGNALS[i], NULL, &now)) {
            error = errno;
            break;
        }
        if (is_handler_ours(&now))
            continue;
        former[i] = now; /* before ours can run and look at it */
        memset(&ours, 0, sizeof(ours));
        ours.sa_sigaction = on_fault;
        ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
        sigemptyset(&ours.sa_mask);
        if (sigaction(SIGNALS[i], &ours, NULL))
            error = errno;
        else
            is_installed[i] = 1;
    }
    pthread_mutex_unlock(&install_lock);
    return error;
}

int pm_fault_state(int signal_number)
{
    struct sigaction now;
    int i = index_of(signal_number);

    if (i < 0 || !is_installed[i])
        return PM_HANDLER_NONE;
    if (sigaction(signal_number, NULL, &now))
        return PM_HANDLER_NONE;
    return is_handler_ours(&now) ? PM_HANDLER_OURS : PM_HANDLER_OTHER;
}

struct pm_fault pm_last_fault(void) { return last_fault; }

int pm_failed_with_cc(const volatile void *p, int cc, int status)
{
    last_fault = (struct pm_fault){.address = (uintptr_t)p, .cc = cc, .status = status};
    return PM_MIO;
}

int pm_failed_with_errno(const volatile void *p, int error)
{
    last_fault = (struct pm_fault){.address = (uintptr_t)p, .error = error};
    return PM_ERRNO;
}

size_t pm_ex_count(void) { return (size_t)(__stop_pm_extable - __start_pm_extable); }
